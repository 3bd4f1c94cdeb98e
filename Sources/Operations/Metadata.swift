import TraceFormats

/// What is known of a recording beside its events; it passes through here as it is.
public typealias RecordingMetadata = TraceFormats.RecordingMetadata
