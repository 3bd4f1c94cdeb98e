import Foundation
import Glibc

/// What is known of a terminal that output goes to.
public enum Terminal {
    /// Its columns: those of the environment variable `COLUMNS` if that is set, otherwise what the terminal says; `nil` for
    /// a file or a pipe.
    public static func width(of descriptor: Int32) -> Int? {
        if let columns = ProcessInfo.processInfo.environment["COLUMNS"].flatMap(Int.init), columns >= 20 {
            return columns
        }
        var size = winsize()
        guard isatty(descriptor) == 1, ioctl(descriptor, UInt(TIOCGWINSZ), &size) == 0, size.ws_col >= 20 else {
            return nil
        }
        return Int(size.ws_col)
    }

    /// Whether text may be set off: on a terminal that can, unless `NO_COLOR` is set; with `CLICOLOR_FORCE` elsewhere too.
    public static func isStyled(_ descriptor: Int32) -> Bool {
        let environment = ProcessInfo.processInfo.environment
        func isSet(_ name: String) -> Bool { environment[name].map { !$0.isEmpty } ?? false }
        if isSet("NO_COLOR") { return false }
        if isSet("CLICOLOR_FORCE"), environment["CLICOLOR_FORCE"] != "0" { return true }
        return isatty(descriptor) == 1 && environment["TERM"] != "dumb"
    }
}
