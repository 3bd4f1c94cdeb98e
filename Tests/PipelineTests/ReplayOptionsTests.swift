import IOMMUModel
import Replay
import Testing

/// How the options of a replay are written.
struct ReplayOptionsTests {
    @Test(
        "page sizes are written as they are typed",
        arguments: ["4K", "4K,2M,1G", "4K,64K,2M,32M,1G,512G", "16K,1T", "all", "2T"])
    func pageSizes(text: String) throws {
        #expect(try #require(PageSizes(parsing: text)).text == text)
    }

    @Test(
        "page sizes that are none are refused",
        arguments: ["", "4", "4k", "3K", "4K,", "K", "0K", "99999999999T", "-4K", "+4K"])
    func noPageSizes(text: String) {
        #expect(PageSizes(parsing: text) == nil)
    }
}
