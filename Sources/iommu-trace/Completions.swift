import FlushSchedules
import ArgumentParser
import Replay

// What a shell offers beside the names of options.
extension CompletionKind {
    /// The traces of the database that is used without `--db`.
    static var traces: CompletionKind {
        .shellCommand("iommu-trace list --format csv 2>/dev/null | tail -n +2 | cut -d, -f1")
    }

    /// The same, and the files of the folder.
    static var tracesAndFiles: CompletionKind {
        .shellCommand("{ iommu-trace list --format csv 2>/dev/null | tail -n +2 | cut -d, -f1; ls; }")
    }

    /// Policies, those with parameters as they are most used.
    static var policies: CompletionKind { .list(Policy.examples) }
}
