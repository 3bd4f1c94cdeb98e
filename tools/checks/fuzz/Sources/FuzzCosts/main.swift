import Foundation
import Fuzzing
import TraceStore

// Files of cost constants, which people mail around with a measured machine's numbers.
fuzz { bytes in
    do throws(CostFileError) {
        let file = try CostFile(Data(bytes), name: "costs")
        precondition(!file.constants.isEmpty)
        for constant in file.constants {
            precondition(constant.low >= 0 && constant.low <= constant.typical && constant.typical <= constant.high)
            precondition(constant.high <= CostFile.longest)
        }
    } catch {
        precondition(!"\(error)".isEmpty)
    }
}
