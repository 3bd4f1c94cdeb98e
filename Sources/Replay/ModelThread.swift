import Dispatch
import TraceStore

/// A model on a thread of its own: it takes one batch of operations while the caller reads the next one.
///
/// The model is touched by that thread while a batch is under way, and by the caller between ``wait()`` and ``start(_:)``.
final class ModelThread<Model>: @unchecked Sendable {
    private var model: Model
    private let take: (inout Model, ContiguousArray<StoredOperation>) -> Void
    private let queue = DispatchQueue(label: "model")
    /// A batch that the model is through with, to be filled again.
    private var spare: ContiguousArray<StoredOperation> = []

    private init(_ model: Model, take: @escaping (inout Model, ContiguousArray<StoredOperation>) -> Void) {
        self.model = model
        self.take = take
    }

    private static var batchSize: Int { 2048 }

    /// Takes all operations of a cursor through a model.
    ///
    /// - Parameters:
    ///   - take: on the model's thread, with one batch after the other.
    ///   - collect: on the calling thread, while the model rests: takes out what is to be kept.
    ///   - keep: on the calling thread, while the model goes on.
    ///   - didRead: with how many operations there were so far; what it throws ends everything.
    /// - Returns: the model, when all is through it and kept.
    static func run<Output>(
        _ model: Model, _ cursor: inout OperationCursor,
        take: @escaping (inout Model, ContiguousArray<StoredOperation>) -> Void, collect: (inout Model) -> Output,
        keep: (Output) throws -> Void, didRead: (Int) throws -> Void
    ) throws -> Model {
        let thread = ModelThread(model, take: take)
        var done = 0
        var isMore = true
        var emptied: ContiguousArray<StoredOperation> = []
        while isMore {
            var batch = emptied
            emptied = []
            batch.removeAll(keepingCapacity: true)
            while batch.count < batchSize, isMore {
                isMore = try cursor.advance()
                if isMore { batch.append(cursor.operation) }
            }
            done += batch.count
            try didRead(done)
            emptied = thread.wait()
            let output = collect(&thread.model)
            thread.start(batch)
            try keep(output)
        }
        _ = thread.wait()
        try keep(collect(&thread.model))
        return thread.model
    }

    private func start(_ batch: ContiguousArray<StoredOperation>) {
        queue.async { [self] in
            take(&model, batch)
            spare = batch
        }
    }

    /// - Returns: the batch that was under way.
    private func wait() -> ContiguousArray<StoredOperation> {
        queue.sync {}
        defer { spare = [] }
        return spare
    }
}
