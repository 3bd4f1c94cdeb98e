import FlushSchedules
import Glibc
import Replay
import TraceStore

// The model alone: all operations of a database's newest trace are read into memory, then replayed from there. No window is kept
// and nothing is written. Prints a line a run: policies, operations, seconds.
// Usage: modelbench DATABASE RUNS POLICY...   (policies joined by + are replayed side by side)

let arguments = CommandLine.arguments.dropFirst()
guard arguments.count >= 3, let path = arguments.first, let runs = arguments.dropFirst().first.flatMap({ Int($0) })
else {
    print("usage: modelbench DATABASE RUNS POLICY[+POLICY...]...")
    exit(2)
}
do {
    let replay = try MemoryReplay(database: path)
    for _ in 0..<runs {
        for list in arguments.dropFirst(2) {
            let seconds = try replay.run(list.split(separator: "+").map { try Policy(parsing: String($0)) })
            print("\(list) \(replay.operations.count) \(seconds)")
        }
    }
} catch {
    print("modelbench: \(error)")
    exit(1)
}
