import IOMMUModel
import TestSupport
import Testing

/// Design §4 12.
@Suite struct AttachStateTests {
    @Test func withoutRecordedAttachesEveryDomainCountsAsAttached() {
        var state = AttachState(showsAttaches: false)
        #expect(state.isAttached(1))
        #expect(state.isAttached(.max))
        state.attach(device: 1, to: 1)
        state.detach(device: 1, from: 1)
        #expect(state.isAttached(1))
    }

    @Test func aDomainThatNeverHadADeviceIsDetached() {
        let state = AttachState(showsAttaches: true)
        #expect(!state.isAttached(1))
        #expect(!state.isAttached(0))
    }

    @Test func anAttachMovesTheDevice() {
        var state = AttachState(showsAttaches: true)
        state.attach(device: 1, to: 1)
        #expect(state.isAttached(1))
        state.attach(device: 1, to: 2)
        #expect(!state.isAttached(1))
        #expect(state.isAttached(2))
    }

    @Test func aDomainIsAttachedUntilItsLastDeviceLeft() {
        var state = AttachState(showsAttaches: true)
        state.attach(device: 1, to: 1)
        state.attach(device: 2, to: 1)
        state.attach(device: 2, to: 1)
        state.detach(device: 1, from: 1)
        #expect(state.isAttached(1))
        state.detach(device: 1, from: 1)
        #expect(state.isAttached(1))
        state.detach(device: 2, from: 1)
        #expect(!state.isAttached(1))
    }

    @Test func aDetachFromAnotherDomainDoesNothing() {
        var state = AttachState(showsAttaches: true)
        state.attach(device: 1, to: 1)
        state.detach(device: 1, from: 2)
        #expect(state.isAttached(1))
    }

    /// A device that goes where the log does not say has left.
    @Test func anAttachToAnUnknownDomainTakesTheDeviceAway() {
        var state = AttachState(showsAttaches: true)
        state.attach(device: 1, to: 1)
        state.attach(device: 1, to: 0)
        #expect(!state.isAttached(1))
        #expect(!state.isAttached(0))
    }

    @Test func numbersThatNameNothingAreIgnored() {
        var state = AttachState(showsAttaches: true)
        for number in [Int32.min, -1, 0] {
            state.attach(device: number, to: 1)
            state.detach(device: number, from: 1)
            state.detach(device: 1, from: number)
            #expect(!state.isAttached(number))
        }
        #expect(!state.isAttached(1))
        #expect(!state.isAttached(.max))
    }

    @Test(arguments: seeds) func agreesWithADictionary(seed: UInt64) {
        var random = SeededGenerator(seed: seed)
        var state = AttachState(showsAttaches: true)
        var domainOfDevice: [Int32: Int32] = [:]
        for _ in 0..<5000 {
            let (device, domain) = (Int32(random.next() % 6), Int32(random.next() % 6))
            if random.next() & 1 == 0 {
                state.attach(device: device, to: domain)
                if device > 0 { domainOfDevice[device] = domain }
            } else {
                state.detach(device: device, from: domain)
                if domainOfDevice[device] == domain { domainOfDevice[device] = nil }
            }
            for domain in 1...5 as ClosedRange<Int32> {
                #expect(state.isAttached(domain) == domainOfDevice.values.contains(domain))
            }
        }
    }
}
