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
                let devices = domainOfDevice.filter { $0.value == domain }.keys
                #expect(state.isAttached(domain) == !devices.isEmpty)
                #expect(state.onlyDevice(of: domain) == (devices.count == 1 ? devices.first : 0))
            }
            for device in 0...6 as ClosedRange<Int32> {
                #expect(state.domain(of: device) == domainOfDevice[device] ?? 0)
            }
        }
        #expect(domainOfDevice.count > 1)
    }

    // MARK: - Who is where

    /// Whose translations a stale window exposes is known as long as it can be one device only.
    @Test func theOnlyDeviceOfADomainIsKnownWhileItIsAlone() {
        var state = AttachState(showsAttaches: true)
        #expect(state.onlyDevice(of: 1) == 0)
        state.attach(device: 7, to: 1)
        #expect(state.onlyDevice(of: 1) == 7)
        state.attach(device: 2, to: 1)
        #expect(state.onlyDevice(of: 1) == 0)
        state.attach(device: 7, to: 3)
        #expect(state.onlyDevice(of: 1) == 2)
        #expect(state.onlyDevice(of: 3) == 7)
        state.detach(device: 2, from: 1)
        #expect(state.onlyDevice(of: 1) == 0)
    }

    @Test func aDeviceIsInTheDomainThatItWasAttachedToLast() {
        var state = AttachState(showsAttaches: true)
        #expect(state.domain(of: 1) == 0)
        state.attach(device: 1, to: 4)
        #expect(state.domain(of: 1) == 4)
        state.attach(device: 1, to: 5)
        #expect(state.domain(of: 1) == 5)
        state.detach(device: 1, from: 4)
        #expect(state.domain(of: 1) == 5)
        state.detach(device: 1, from: 5)
        #expect(state.domain(of: 1) == 0)
        state.attach(device: 1, to: 4)
        state.attach(device: 1, to: 0)
        #expect(state.domain(of: 1) == 0)
    }

    /// High numbers that add up must not be mistaken for another device's.
    @Test func theNumbersOfTwoDevicesAreNoThird() {
        var state = AttachState(showsAttaches: true)
        for device in [1000, 2000, 3000] as [Int32] { state.attach(device: device, to: 1) }
        #expect(state.onlyDevice(of: 1) == 0)
        state.detach(device: 3000, from: 1)
        #expect(state.onlyDevice(of: 1) == 0)
        state.detach(device: 1000, from: 1)
        #expect(state.onlyDevice(of: 1) == 2000)
    }

    @Test func nobodyIsWhereNothingIs() {
        let state = AttachState(showsAttaches: false)
        for number in [Int32.min, -1, 0, 1, .max] {
            #expect(state.onlyDevice(of: number) == 0)
            #expect(state.domain(of: number) == 0)
        }
    }
}
