/// `tracegen`: a seeded synthetic ftrace log on stdout, in the shapes of the logs under `traces`.
@main
enum TraceGen {
    static func main() {
        let options: Options
        switch Options.parse(CommandLine.arguments.dropFirst()) {
        case .run(let parsed):
            options = parsed
        case .help:
            StandardStream.output.put(Options.help)
            return
        case .refuse(let reason):
            refuse(reason)
        }

        var random = RandomSource(seed: options.seed)
        // Somewhere in the first minutes after boot, as the clock `mono` would say.
        let start = Time(20 + random.below(60)) * .second + Time(random.below(.second))
        let trace = TraceWriter(events: options.events, processors: options.processors)
        let shell = TaskPrefix(command: "sh", pid: 100, processor: 0)

        trace.header()
        trace.marker(Head(shell, "....."), start, "LAB_START synthetic \(options.shape.isLazy ? "lazy" : "strict")")
        let firstOperation = start + .second / 2
        if options.shape == .vfio {
            VFIOWorkload(options, trace, random).run(from: firstOperation)
        } else {
            DMAWorkload(options, trace, random).run(from: firstOperation)
        }
        trace.marker(Head(shell, "....."), max(trace.lastTime, firstOperation), "LAB_END synthetic")
        trace.flush()
    }
}
