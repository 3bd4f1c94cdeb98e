/// Runs of unmaps: of one task in one domain, until either does something else (design §4 7).
struct RunTracker {
    private var domainOfTask: [Int32: Int32] = [:]
    private var taskOfDomain: [Int32: Int32] = [:]
    private var last: (pid: Int32, domain: Int32)?

    /// An unmap: begins or continues a run.
    ///
    /// - Returns: the domains whose runs it ends, if any.
    mutating func unmap(pid: Int32, domain: Int32) -> (Int32, Int32?)? {
        if let last, last == (pid, domain) { return nil }
        var ended: [Int32] = []
        if let former = domainOfTask[pid], former != domain {
            ended.append(former)
            taskOfDomain[former] = nil
        }
        if let other = taskOfDomain[domain], other != pid {
            ended.append(domain)
            domainOfTask[other] = nil
        }
        domainOfTask[pid] = domain
        taskOfDomain[domain] = pid
        last = (pid, domain)
        guard let first = ended.first else { return nil }
        return (first, ended.count > 1 ? ended[1] : nil)
    }

    /// The task does something else.
    ///
    /// - Returns: the domain of the run that it ends.
    mutating func end(pid: Int32) -> Int32? {
        if domainOfTask.isEmpty { return nil }
        guard let domain = domainOfTask.removeValue(forKey: pid) else { return nil }
        taskOfDomain[domain] = nil
        last = nil
        return domain
    }

    /// Something else happens to the domain.
    ///
    /// - Returns: whether that ends a run.
    mutating func end(domain: Int32) -> Bool {
        if taskOfDomain.isEmpty { return false }
        guard let pid = taskOfDomain.removeValue(forKey: domain) else { return false }
        domainOfTask[pid] = nil
        last = nil
        return true
    }
}
