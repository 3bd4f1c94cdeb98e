import Testing

/// A kernel as `tools/record` finds it, and what it is to probe there.
struct ProbedKernel: Sendable, CustomTestStringConvertible {
    let testDescription: String
    let release: String
    var machine = "x86_64"
    /// The IOMMU in `/sys/class/iommu`.
    let unit: String
    var hasFprobes = false
    /// The tracepoint `intel_iommu:qi_submit`.
    var hasDescriptors = false
    /// Where definitions go: before 5.0 `kprobe_events`.
    var definitions = "dynamic_events"
    /// What `available_filter_functions` lists.
    let functions: String
    var symbols = ""
    /// In the order in which they are defined.
    let probes: String
    /// What is named as missing: the probe with its functions, and what the log lacks.
    let missing: [String]

    /// The files that tell `tools/record` of it.
    var files: [String: String] {
        let tracing = "root/sys/kernel/tracing"
        let fprobe = "\t           f[:[<group>/][<event>]] <func-name>[%return] [<args>]\n"
        var files = [
            "root/proc/sys/kernel/osrelease": release + "\n",
            "root/proc/sys/kernel/arch": machine + "\n",
            "root/proc/kallsyms": symbols,
            "root/sys/class/iommu/\(unit)/devices/.here": "",
            "root/sys/kernel/iommu_groups/0/type": "DMA\n",
            "\(tracing)/README": "\t   Format: p[:[<group>/][<event>]] <place> [<args>]\n" + (hasFprobes ? fprobe : ""),
            "\(tracing)/available_filter_functions": functions.split(separator: " ").map {
                // Of a module.
                $0.replacing("@", with: " [") + ($0.contains("@") ? "]\n" : "\n")
            }.joined(),
            "\(tracing)/\(definitions)": "",
            "\(tracing)/instances/.here": "",
            "\(tracing)/events/iommu/enable": "",
        ]
        if hasDescriptors { files["\(tracing)/events/intel_iommu/qi_submit/enable"] = "" }
        return files
    }
}

extension ProbedKernel {
    static let all = intel + amd + arm + others

    /// Without fprobes nobody sees an unmap return.
    private static let noReturns = [
        "unmap_ret (iommu_unmap%return): the log lacks who unmaps strictly",
        "unmap_fast_ret (iommu_unmap_fast%return): the log lacks who unmaps without a flush (VFIO or the DMA API)",
    ]
    private static let noQueueFlush = [
        "fq_flush (fq_flush_iotlb, iova_domain_flush): the log lacks which flushes of whole domains are of a queue"
    ]

    private static let intel = [
        ProbedKernel(
            testDescription: "4.15 Intel", release: "4.15.0-213-generic", unit: "dmar0", definitions: "kprobe_events",
            functions: """
                iommu_map iommu_unmap iommu_unmap_fast fq_flush_timeout iova_domain_flush qi_flush_iotlb \
                intel_iommu_attach_device intel_iommu_detach_device intel_iommu_domain_alloc intel_iommu_domain_free \
                amd_iommu_attach_device amd_iommu_domain_free
                """,
            probes: """
                p:iommu_trace/map iommu_map+5 domain=%di:x64 iova=%si:x64 paddr=%dx:x64 size=%cx:u64
                p:iommu_trace/unmap iommu_unmap+5 domain=%di:x64 iova=%si:x64 size=%dx:u64
                p:iommu_trace/unmap_fast iommu_unmap_fast+5 domain=%di:x64 iova=%si:x64 size=%dx:u64
                p:iommu_trace/fq_timeout fq_flush_timeout+5 timer=%di:x64
                p:iommu_trace/fq_flush iova_domain_flush+5 cookie=%di:x64
                p:iommu_trace/attach intel_iommu_attach_device+5 domain=%di:x64 dev=+0(+0(%si)):string type=+0(%di):x32
                p:iommu_trace/detach intel_iommu_detach_device+5 domain=%di:x64 dev=+0(+0(%si)):string
                r:iommu_trace/domain_alloc intel_iommu_domain_alloc domain=$retval:x64
                p:iommu_trace/domain_free intel_iommu_domain_free+5 domain=%di:x64
                p:iommu_trace/hw_flush qi_flush_iotlb+5 did=%si:u16 addr=%dx:x64 order=%cx:u32 type=%r8:x64
                """,
            missing: noReturns + [
                "sync (intel_iommu_tlb_sync): the log lacks the flushes that follow unmaps",
                "flush_all (intel_flush_iotlb_all): the log lacks the flushes of whole domains",
            ]),
        ProbedKernel(
            testDescription: "5.16 Intel", release: "5.16.20", unit: "dmar0", hasDescriptors: true,
            functions: """
                iommu_map __iommu_map iommu_unmap iommu_unmap_fast fq_flush_timeout iova_domain_flush.isra.0 \
                intel_iommu_tlb_sync intel_iommu_iotlb_sync_map intel_flush_iotlb_all
                """,
            probes: """
                p:iommu_trace/map __iommu_map+5 domain=%di:x64 iova=%si:x64 paddr=%dx:x64 size=%cx:u64
                p:iommu_trace/unmap iommu_unmap+5 domain=%di:x64 iova=%si:x64 size=%dx:u64
                p:iommu_trace/unmap_fast iommu_unmap_fast+5 domain=%di:x64 iova=%si:x64 size=%dx:u64 queued=+32(%cx):u8
                p:iommu_trace/fq_timeout fq_flush_timeout+5 timer=%di:x64
                p:iommu_trace/sync intel_iommu_tlb_sync+5 domain=%di:x64 start=+0(%si):x64 end=+8(%si):x64 pgsize=+16(%si):u64
                p:iommu_trace/sync_map intel_iommu_iotlb_sync_map+5 domain=%di:x64 iova=%si:x64 size=%dx:u64
                p:iommu_trace/flush_all intel_flush_iotlb_all+5 domain=%di:x64
                e:iommu_trace/unmapped iommu/unmap iova=$iova:x64 size=$size:u64 unmapped=$unmapped_size:u64
                """,
            missing: noReturns + noQueueFlush + [
                "domain_alloc (__iommu_paging_domain_alloc_flags%return, intel_iommu_domain_alloc_paging_flags%return, "
                    + "intel_iommu_domain_alloc%return): the log lacks when a domain begins",
                "attach (intel_iommu_attach_device): the log lacks which domain a device has",
                "detach (intel_iommu_detach_device, device_block_translation): the log lacks when a device",
                "domain_free (intel_iommu_domain_free): the log lacks when a domain ends",
            ]),
        ProbedKernel(
            testDescription: "6.1 Intel", release: "6.1.0-56-amd64", unit: "dmar0", hasDescriptors: true,
            functions: """
                iommu_map __iommu_map iommu_unmap iommu_unmap_fast fq_flush_timeout fq_flush_iotlb qi_flush_iotlb \
                intel_iommu_tlb_sync intel_iommu_iotlb_sync_map intel_flush_iotlb_all intel_iommu_attach_device \
                intel_iommu_detach_device device_block_translation intel_iommu_domain_alloc intel_iommu_domain_free
                """,
            probes: """
                p:iommu_trace/map __iommu_map+5 domain=%di:x64 iova=%si:x64 paddr=%dx:x64 size=%cx:u64
                p:iommu_trace/unmap iommu_unmap+5 domain=%di:x64 iova=%si:x64 size=%dx:u64
                p:iommu_trace/unmap_fast iommu_unmap_fast+5 domain=%di:x64 iova=%si:x64 size=%dx:u64 queued=+40(%cx):u8
                p:iommu_trace/fq_timeout fq_flush_timeout+5 timer=%di:x64
                p:iommu_trace/fq_flush fq_flush_iotlb+5 cookie=%di:x64
                p:iommu_trace/sync intel_iommu_tlb_sync+5 domain=%di:x64 start=+0(%si):x64 end=+8(%si):x64 pgsize=+16(%si):u64
                p:iommu_trace/sync_map intel_iommu_iotlb_sync_map+5 domain=%di:x64 iova=%si:x64 size=%dx:u64
                p:iommu_trace/flush_all intel_flush_iotlb_all+5 domain=%di:x64
                p:iommu_trace/attach intel_iommu_attach_device+5 domain=%di:x64 dev=+0(+0(%si)):string type=+0(%di):x32
                p:iommu_trace/detach intel_iommu_detach_device+5 domain=%di:x64 dev=+0(+0(%si)):string
                r:iommu_trace/domain_alloc intel_iommu_domain_alloc domain=$retval:x64
                p:iommu_trace/domain_free intel_iommu_domain_free+5 domain=%di:x64
                e:iommu_trace/unmapped iommu/unmap iova=$iova:x64 size=$size:u64 unmapped=$unmapped_size:u64
                """,
            missing: noReturns),
        ProbedKernel(
            testDescription: "6.6 Intel", release: "6.6.87", unit: "dmar0", hasFprobes: true, hasDescriptors: true,
            functions: "__iommu_map iommu_unmap iommu_unmap_fast intel_iommu_domain_alloc intel_iommu_domain_free",
            probes: """
                f:iommu_trace/map __iommu_map domain=$arg1:x64 iova=$arg2:x64 paddr=$arg3:x64 size=$arg4:u64
                f:iommu_trace/unmap iommu_unmap domain=$arg1:x64 iova=$arg2:x64 size=$arg3:u64
                f:iommu_trace/unmap_ret iommu_unmap%return unmapped=$retval:u64
                f:iommu_trace/unmap_fast iommu_unmap_fast domain=$arg1:x64 iova=$arg2:x64 size=$arg3:u64 queued=+40($arg4):u8
                f:iommu_trace/unmap_fast_ret iommu_unmap_fast%return unmapped=$retval:u64
                f:iommu_trace/domain_alloc intel_iommu_domain_alloc%return domain=$retval:x64
                f:iommu_trace/domain_free intel_iommu_domain_free domain=$arg1:x64
                """,
            missing: [
                "fq_timeout (fq_flush_timeout): the log lacks which flushes are of a queue's timer",
                "sync (intel_iommu_tlb_sync): ",
                "sync_map (intel_iommu_iotlb_sync_map): the log lacks the flushes that follow maps",
                "flush_all (intel_flush_iotlb_all): ", "attach (intel_iommu_attach_device): ",
                "detach (intel_iommu_detach_device, device_block_translation): ",
            ] + noQueueFlush),
        ProbedKernel(
            testDescription: "6.12 Intel", release: "6.12.95+deb12-amd64", unit: "dmar0", hasFprobes: true,
            hasDescriptors: true,
            functions: """
                iommu_map __iommu_map iommu_unmap iommu_unmap_fast fq_flush_timeout fq_flush_iotlb qi_flush_iotlb \
                intel_iommu_tlb_sync intel_iommu_iotlb_sync_map intel_flush_iotlb_all intel_iommu_attach_device \
                device_block_translation intel_iommu_domain_alloc intel_iommu_domain_free
                """,
            probes: """
                f:iommu_trace/map __iommu_map domain=$arg1:x64 iova=$arg2:x64 paddr=$arg3:x64 size=$arg4:u64
                \(entriesAndReturns)
                f:iommu_trace/fq_timeout fq_flush_timeout timer=$arg1:x64
                f:iommu_trace/fq_flush fq_flush_iotlb cookie=$arg1:x64
                f:iommu_trace/sync intel_iommu_tlb_sync domain=$arg1:x64 start=+0($arg2):x64 end=+8($arg2):x64 pgsize=+16($arg2):u64
                f:iommu_trace/sync_map intel_iommu_iotlb_sync_map domain=$arg1:x64 iova=$arg2:x64 size=$arg3:u64
                f:iommu_trace/flush_all intel_flush_iotlb_all domain=$arg1:x64
                f:iommu_trace/attach intel_iommu_attach_device domain=$arg1:x64 dev=+0(+0($arg2)):string type=+0($arg1):x32
                f:iommu_trace/detach device_block_translation dev=+0(+0($arg1)):string
                f:iommu_trace/domain_alloc intel_iommu_domain_alloc%return type=$arg1:x32 domain=$retval:x64
                f:iommu_trace/domain_free intel_iommu_domain_free domain=$arg1:x64
                """,
            missing: []),
        today("6.18 Intel", "6.18.9+deb13-amd64"),
        today("6.19 Intel", "6.19.8+deb13-amd64"),
        today("7.3 Intel", "7.3.4+deb13-amd64"),
        ProbedKernel(
            testDescription: "7.3 Intel without CONFIG_FPROBE_EVENTS", release: "7.3.4", unit: "dmar0",
            hasDescriptors: true,
            functions: """
                iommu_map iommu_map_nosync iommu_unmap iommu_unmap_fast fq_flush_timeout fq_flush_iotlb \
                __iommu_paging_domain_alloc_flags intel_iommu_domain_alloc_paging_flags intel_iommu_tlb_sync \
                intel_iommu_iotlb_sync_map intel_flush_iotlb_all intel_iommu_attach_device device_block_translation \
                intel_iommu_domain_free
                """,
            probes: """
                p:iommu_trace/map iommu_map_nosync+5 domain=%di:x64 iova=%si:x64 paddr=%dx:x64 size=%cx:u64
                p:iommu_trace/unmap iommu_unmap+5 domain=%di:x64 iova=%si:x64 size=%dx:u64
                p:iommu_trace/unmap_fast iommu_unmap_fast+5 domain=%di:x64 iova=%si:x64 size=%dx:u64 queued=+40(%cx):u8
                p:iommu_trace/fq_timeout fq_flush_timeout+5 timer=%di:x64
                p:iommu_trace/fq_flush fq_flush_iotlb+5 cookie=%di:x64
                p:iommu_trace/sync intel_iommu_tlb_sync+5 domain=%di:x64 start=+0(%si):x64 end=+8(%si):x64 pgsize=+16(%si):u64
                p:iommu_trace/sync_map intel_iommu_iotlb_sync_map+5 domain=%di:x64 iova=%si:x64 size=%dx:u64
                p:iommu_trace/flush_all intel_flush_iotlb_all+5 domain=%di:x64
                p:iommu_trace/attach intel_iommu_attach_device+5 domain=%di:x64 dev=+0(+0(%si)):string type=+0(%di):x32 cookie=+4(%di):u32
                p:iommu_trace/detach device_block_translation+5 dev=+0(+0(%di)):string
                p:iommu_trace/domain_free intel_iommu_domain_free+5 domain=%di:x64
                e:iommu_trace/unmapped iommu/unmap iova=$iova:x64 size=$size:u64 unmapped=$unmapped_size:u64
                """,
            missing: noReturns + [
                "domain_alloc (__iommu_paging_domain_alloc_flags%return, intel_iommu_domain_alloc_paging_flags%return, ",
                "dma_iova_link (dma_iova_link): the log lacks which maps and unmaps are of the DMA API's two steps",
                "dma_iova_sync (dma_iova_sync): ", "dma_iova_unlink (dma_iova_unlink): ",
                "dma_iova_destroy (dma_iova_destroy): ",
            ]),
    ]

    /// The two unmaps with fprobes that know arguments on return.
    private static let entriesAndReturns = """
        f:iommu_trace/unmap iommu_unmap domain=$arg1:x64 iova=$arg2:x64 size=$arg3:u64
        f:iommu_trace/unmap_ret iommu_unmap%return domain=$arg1:x64 iova=$arg2:x64 size=$arg3:u64 unmapped=$retval:u64
        f:iommu_trace/unmap_fast iommu_unmap_fast domain=$arg1:x64 iova=$arg2:x64 size=$arg3:u64 queued=+40($arg4):u8
        f:iommu_trace/unmap_fast_ret iommu_unmap_fast%return domain=$arg1:x64 iova=$arg2:x64 size=$arg3:u64 unmapped=$retval:u64
        """

    /// What 6.16 and later have in common, whatever the IOMMU.
    private static let commonToday = """
        f:iommu_trace/map iommu_map_nosync domain=$arg1:x64 iova=$arg2:x64 paddr=$arg3:x64 size=$arg4:u64
        \(entriesAndReturns)
        f:iommu_trace/fq_timeout fq_flush_timeout timer=$arg1:x64
        f:iommu_trace/domain_alloc __iommu_paging_domain_alloc_flags%return dev=+0(+0($arg1)):string type=$arg2:x32 flags=$arg3:x32 domain=$retval:x64
        f:iommu_trace/dma_iova_link dma_iova_link dev=+0(+0($arg1)):string iova=+0($arg2):x64 paddr=$arg3:x64 offset=$arg4:u64 size=$arg5:u64
        f:iommu_trace/dma_iova_sync dma_iova_sync dev=+0(+0($arg1)):string iova=+0($arg2):x64 offset=$arg3:u64 size=$arg4:u64
        f:iommu_trace/dma_iova_unlink dma_iova_unlink dev=+0(+0($arg1)):string iova=+0($arg2):x64 offset=$arg3:u64 size=$arg4:u64
        f:iommu_trace/dma_iova_destroy dma_iova_destroy dev=+0(+0($arg1)):string iova=+0($arg2):x64 size=$arg3:u64
        """

    private static let functionsToday = """
        iommu_map iommu_map_nosync iommu_sync_map iommu_unmap iommu_unmap_fast fq_flush_timeout dma_iova_try_alloc \
        dma_iova_link dma_iova_sync dma_iova_unlink dma_iova_destroy __iommu_paging_domain_alloc_flags
        """

    private static func today(_ name: String, _ release: String) -> ProbedKernel {
        ProbedKernel(
            testDescription: name, release: release, unit: "dmar0", hasFprobes: true, hasDescriptors: true,
            functions: functionsToday + """
                 intel_iommu_tlb_sync intel_iommu_iotlb_sync_map intel_flush_iotlb_all qi_flush_iotlb \
                intel_iommu_attach_device device_block_translation intel_iommu_domain_alloc_paging_flags \
                intel_iommu_domain_free
                """,
            probes: """
                \(commonToday)
                f:iommu_trace/sync intel_iommu_tlb_sync domain=$arg1:x64 start=+0($arg2):x64 end=+8($arg2):x64 pgsize=+16($arg2):u64
                f:iommu_trace/sync_map intel_iommu_iotlb_sync_map domain=$arg1:x64 iova=$arg2:x64 size=$arg3:u64
                f:iommu_trace/flush_all intel_flush_iotlb_all domain=$arg1:x64
                f:iommu_trace/attach intel_iommu_attach_device domain=$arg1:x64 dev=+0(+0($arg2)):string type=+0($arg1):x32 cookie=+4($arg1):u32
                f:iommu_trace/detach device_block_translation dev=+0(+0($arg1)):string
                f:iommu_trace/domain_free intel_iommu_domain_free domain=$arg1:x64
                """,
            missing: noQueueFlush)
    }

    private static let amd = [
        ProbedKernel(
            testDescription: "6.1 AMD", release: "6.1.0-56-amd64", unit: "ivhd0",
            functions: """
                iommu_map __iommu_map iommu_unmap iommu_unmap_fast fq_flush_timeout fq_flush_iotlb \
                amd_iommu_iotlb_sync amd_iommu_iotlb_sync_map amd_iommu_flush_iotlb_all amd_iommu_attach_device \
                amd_iommu_detach_device amd_iommu_domain_alloc amd_iommu_domain_free __iommu_queue_command_sync \
                intel_iommu_tlb_sync intel_flush_iotlb_all
                """,
            probes: """
                p:iommu_trace/map __iommu_map+5 domain=%di:x64 iova=%si:x64 paddr=%dx:x64 size=%cx:u64
                p:iommu_trace/unmap iommu_unmap+5 domain=%di:x64 iova=%si:x64 size=%dx:u64
                p:iommu_trace/unmap_fast iommu_unmap_fast+5 domain=%di:x64 iova=%si:x64 size=%dx:u64 queued=+40(%cx):u8
                p:iommu_trace/fq_timeout fq_flush_timeout+5 timer=%di:x64
                p:iommu_trace/fq_flush fq_flush_iotlb+5 cookie=%di:x64
                p:iommu_trace/sync amd_iommu_iotlb_sync+5 domain=%di:x64 start=+0(%si):x64 end=+8(%si):x64 pgsize=+16(%si):u64
                p:iommu_trace/sync_map amd_iommu_iotlb_sync_map+5 domain=%di:x64 iova=%si:x64 size=%dx:u64
                p:iommu_trace/flush_all amd_iommu_flush_iotlb_all+5 domain=%di:x64
                p:iommu_trace/attach amd_iommu_attach_device+5 domain=%di:x64 dev=+0(+0(%si)):string type=+0(%di):x32
                p:iommu_trace/detach amd_iommu_detach_device+5 domain=%di:x64 dev=+0(+0(%si)):string
                r:iommu_trace/domain_alloc amd_iommu_domain_alloc domain=$retval:x64
                p:iommu_trace/domain_free amd_iommu_domain_free+5 domain=%di:x64
                p:iommu_trace/amd_cmd __iommu_queue_command_sync+5 c0=+0(%si):x32 c1=+4(%si):x32 c2=+8(%si):x32 c3=+12(%si):x32
                e:iommu_trace/unmapped iommu/unmap iova=$iova:x64 size=$size:u64 unmapped=$unmapped_size:u64
                """,
            missing: noReturns),
        ProbedKernel(
            testDescription: "7.3 AMD", release: "7.3.4+deb13-amd64", unit: "ivhd0", hasFprobes: true,
            functions: functionsToday + """
                 amd_iommu_iotlb_sync amd_iommu_iotlb_sync_map amd_iommu_flush_iotlb_all amd_iommu_attach_device \
                blocked_domain_attach_device amd_iommu_detach_device amd_iommu_domain_alloc_paging_flags \
                amd_iommu_domain_free __iommu_queue_command_sync
                """,
            probes: """
                \(commonToday)
                f:iommu_trace/sync amd_iommu_iotlb_sync domain=$arg1:x64 start=+0($arg2):x64 end=+8($arg2):x64 pgsize=+16($arg2):u64
                f:iommu_trace/sync_map amd_iommu_iotlb_sync_map domain=$arg1:x64 iova=$arg2:x64 size=$arg3:u64
                f:iommu_trace/flush_all amd_iommu_flush_iotlb_all domain=$arg1:x64
                f:iommu_trace/attach amd_iommu_attach_device domain=$arg1:x64 dev=+0(+0($arg2)):string type=+0($arg1):x32 cookie=+4($arg1):u32
                f:iommu_trace/detach blocked_domain_attach_device dev=+0(+0($arg2)):string
                f:iommu_trace/domain_free amd_iommu_domain_free domain=$arg1:x64
                f:iommu_trace/amd_cmd __iommu_queue_command_sync c0=+0($arg2):x32 c1=+4($arg2):x32 c2=+8($arg2):x32 c3=+12($arg2):x32
                """,
            missing: noQueueFlush),
    ]

    private static let arm = [
        ProbedKernel(
            testDescription: "6.1 SMMUv3, with SMMUv2 built in too", release: "6.1.0-56-arm64", machine: "aarch64",
            unit: "smmu3.0x0000000009050000",
            functions: """
                iommu_map __iommu_map iommu_unmap iommu_unmap_fast fq_flush_timeout fq_flush_iotlb \
                arm_smmu_iotlb_sync arm_smmu_flush_iotlb_all arm_smmu_attach_dev arm_smmu_domain_alloc \
                arm_smmu_domain_free arm_smmu_cmdq_issue_cmdlist
                """,
            symbols: """
                ffff80000880a324 t arm_smmu_iotlb_sync
                ffff80000880a580 t arm_smmu_flush_iotlb_all
                ffff80000880a5b4 t arm_smmu_attach_dev
                ffff80000880a700 t arm_smmu_domain_free
                ffff800008811324 t arm_smmu_iotlb_sync
                ffff800008811580 t arm_smmu_flush_iotlb_all
                ffff8000088115b4 t arm_smmu_attach_dev
                ffff800008811700 t arm_smmu_domain_free
                ffff800008811800 t arm_smmu_cmdq_issue_cmdlist

                """,
            probes: """
                p:iommu_trace/map __iommu_map domain=%x0:x64 iova=%x1:x64 paddr=%x2:x64 size=%x3:u64
                p:iommu_trace/unmap iommu_unmap domain=%x0:x64 iova=%x1:x64 size=%x2:u64
                p:iommu_trace/unmap_fast iommu_unmap_fast domain=%x0:x64 iova=%x1:x64 size=%x2:u64 queued=+40(%x3):u8
                p:iommu_trace/fq_timeout fq_flush_timeout timer=%x0:x64
                p:iommu_trace/fq_flush fq_flush_iotlb cookie=%x0:x64
                p:iommu_trace/sync 0xffff800008811324 domain=%x0:x64 start=+0(%x1):x64 end=+8(%x1):x64 pgsize=+16(%x1):u64
                p:iommu_trace/flush_all 0xffff800008811580 domain=%x0:x64
                p:iommu_trace/attach 0xffff8000088115b4 domain=%x0:x64 dev=+0(+0(%x1)):string type=+0(%x0):x32
                r:iommu_trace/domain_alloc arm_smmu_domain_alloc domain=$retval:x64
                p:iommu_trace/cmdq arm_smmu_cmdq_issue_cmdlist smmu=%x0:x64 cmd0=+0(%x1):x64 cmd1=+8(%x1):x64 n=%x2:s32 sync=%x3:u8 cmds=+0(%x1):x64[8]
                p:iommu_trace/domain_free 0xffff800008811700 domain=%x0:x64
                e:iommu_trace/unmapped iommu/unmap iova=$iova:x64 size=$size:u64 unmapped=$unmapped_size:u64
                """,
            missing: noReturns + ["detach (arm_smmu_attach_dev_blocked): "]),
        ProbedKernel(
            testDescription: "6.12 SMMUv3, a module", release: "6.12.9-arm64", machine: "aarch64",
            unit: "smmu3.0x0000000009050000",
            functions: """
                iommu_map __iommu_map iommu_unmap iommu_unmap_fast fq_flush_timeout fq_flush_iotlb \
                arm_smmu_iotlb_sync arm_smmu_iotlb_sync@arm_smmu_v3 arm_smmu_flush_iotlb_all@arm_smmu_v3 \
                arm_smmu_attach_dev@arm_smmu_v3 arm_smmu_attach_dev_blocked@arm_smmu_v3 \
                arm_smmu_domain_alloc@arm_smmu_v3 arm_smmu_domain_alloc_paging@arm_smmu_v3 arm_smmu_domain_free \
                arm_smmu_domain_free_paging@arm_smmu_v3 arm_smmu_cmdq_issue_cmdlist@arm_smmu_v3
                """,
            symbols: """
                ffff80000880a324 t arm_smmu_iotlb_sync
                ffff80000880a700 t arm_smmu_domain_free
                ffff800001234324 t arm_smmu_iotlb_sync\t[arm_smmu_v3]
                ffff800001234580 t arm_smmu_flush_iotlb_all\t[arm_smmu_v3]
                ffff8000012345b4 t arm_smmu_attach_dev\t[arm_smmu_v3]
                ffff800001234600 t arm_smmu_attach_dev_blocked\t[arm_smmu_v3]
                ffff800001234700 t arm_smmu_domain_free_paging\t[arm_smmu_v3]
                ffff800001234800 t arm_smmu_cmdq_issue_cmdlist\t[arm_smmu_v3]

                """,
            probes: """
                p:iommu_trace/map __iommu_map domain=%x0:x64 iova=%x1:x64 paddr=%x2:x64 size=%x3:u64
                p:iommu_trace/unmap iommu_unmap domain=%x0:x64 iova=%x1:x64 size=%x2:u64
                p:iommu_trace/unmap_fast iommu_unmap_fast domain=%x0:x64 iova=%x1:x64 size=%x2:u64 queued=+40(%x3):u8
                p:iommu_trace/fq_timeout fq_flush_timeout timer=%x0:x64
                p:iommu_trace/fq_flush fq_flush_iotlb cookie=%x0:x64
                p:iommu_trace/sync arm_smmu_v3:arm_smmu_iotlb_sync domain=%x0:x64 start=+0(%x1):x64 end=+8(%x1):x64 pgsize=+16(%x1):u64
                p:iommu_trace/flush_all arm_smmu_v3:arm_smmu_flush_iotlb_all domain=%x0:x64
                p:iommu_trace/attach arm_smmu_v3:arm_smmu_attach_dev domain=%x0:x64 dev=+0(+0(%x1)):string type=+0(%x0):x32
                p:iommu_trace/detach arm_smmu_v3:arm_smmu_attach_dev_blocked dev=+0(+0(%x1)):string
                r:iommu_trace/domain_alloc arm_smmu_domain_alloc_paging domain=$retval:x64
                p:iommu_trace/domain_free arm_smmu_v3:arm_smmu_domain_free_paging domain=%x0:x64
                p:iommu_trace/cmdq arm_smmu_v3:arm_smmu_cmdq_issue_cmdlist smmu=%x0:x64 cmd0=+0(%x2):x64 cmd1=+8(%x2):x64 n=%x3:s32 sync=%x4:u8 cmds=+0(%x2):x64[8]
                e:iommu_trace/unmapped iommu/unmap iova=$iova:x64 size=$size:u64 unmapped=$unmapped_size:u64
                """,
            missing: noReturns),
        ProbedKernel(
            testDescription: "7.3 SMMUv3", release: "7.3.4+deb13-arm64", machine: "aarch64",
            unit: "smmu3.0x0000000009050000", hasFprobes: true,
            functions: functionsToday + """
                 arm_smmu_iotlb_sync arm_smmu_flush_iotlb_all arm_smmu_attach_dev arm_smmu_attach_dev_blocked \
                arm_smmu_domain_alloc_paging_flags arm_smmu_domain_free_paging arm_smmu_domain_free \
                arm_smmu_cmdq_issue_cmdlist
                """,
            probes: """
                \(commonToday)
                f:iommu_trace/sync arm_smmu_iotlb_sync domain=$arg1:x64 start=+0($arg2):x64 end=+8($arg2):x64 pgsize=+16($arg2):u64
                f:iommu_trace/flush_all arm_smmu_flush_iotlb_all domain=$arg1:x64
                f:iommu_trace/attach arm_smmu_attach_dev domain=$arg1:x64 dev=+0(+0($arg2)):string type=+0($arg1):x32 cookie=+4($arg1):u32
                f:iommu_trace/detach arm_smmu_attach_dev_blocked dev=+0(+0($arg2)):string
                f:iommu_trace/domain_free arm_smmu_domain_free_paging domain=$arg1:x64
                f:iommu_trace/cmdq arm_smmu_cmdq_issue_cmdlist smmu=$arg1:x64 cmd0=+0($arg3):x64 cmd1=+8($arg3):x64 n=$arg4:s32 sync=$arg5:u8 cmds=+0($arg3):x64[8]
                """,
            missing: noQueueFlush),
        ProbedKernel(
            testDescription: "4.19 SMMUv2, with SMMUv3 built in too", release: "4.19.0-27-arm64", machine: "aarch64",
            unit: "smmu.0x0000000009050000", definitions: "kprobe_events",
            functions: """
                iommu_map iommu_unmap iommu_unmap_fast arm_smmu_iotlb_sync arm_smmu_flush_iotlb_all \
                arm_smmu_attach_dev arm_smmu_domain_free
                """,
            symbols: """
                ffff80000880a324 t arm_smmu_iotlb_sync
                ffff800008811324 t arm_smmu_iotlb_sync
                ffff80000880a580 t arm_smmu_flush_iotlb_all

                """,
            probes: """
                p:iommu_trace/map iommu_map domain=%x0:x64 iova=%x1:x64 paddr=%x2:x64 size=%x3:u64
                p:iommu_trace/unmap iommu_unmap domain=%x0:x64 iova=%x1:x64 size=%x2:u64
                p:iommu_trace/unmap_fast iommu_unmap_fast domain=%x0:x64 iova=%x1:x64 size=%x2:u64
                p:iommu_trace/sync 0xffff80000880a324 domain=%x0:x64
                p:iommu_trace/flush_all arm_smmu_flush_iotlb_all domain=%x0:x64
                p:iommu_trace/attach arm_smmu_attach_dev domain=%x0:x64 dev=+0(+0(%x1)):string type=+0(%x0):x32
                p:iommu_trace/domain_free arm_smmu_domain_free domain=%x0:x64
                """,
            missing: noReturns + noQueueFlush + [
                "fq_timeout (fq_flush_timeout): ", "detach (arm_smmu_attach_dev_blocked): ",
                "domain_alloc (__iommu_paging_domain_alloc_flags%return, arm_smmu_domain_alloc_paging_flags%return, "
                    + "arm_smmu_domain_alloc_paging%return, arm_smmu_domain_alloc%return): ",
            ]),
    ]

    private static let others = [
        ProbedKernel(
            testDescription: "7.2 RISC-V", release: "7.2.13", machine: "riscv64", unit: "riscv-iommu@0000:00:01.0",
            hasFprobes: true,
            functions: functionsToday + """
                 riscv_iommu_iotlb_sync riscv_iommu_iotlb_flush_all riscv_iommu_attach_paging_domain \
                riscv_iommu_attach_blocking_domain riscv_iommu_free_paging_domain
                """,
            probes: """
                \(commonToday)
                f:iommu_trace/sync riscv_iommu_iotlb_sync domain=$arg1:x64 start=+0($arg2):x64 end=+8($arg2):x64 pgsize=+16($arg2):u64
                f:iommu_trace/flush_all riscv_iommu_iotlb_flush_all domain=$arg1:x64
                f:iommu_trace/attach riscv_iommu_attach_paging_domain domain=$arg1:x64 dev=+0(+0($arg2)):string type=+0($arg1):x32 cookie=+4($arg1):u32
                f:iommu_trace/detach riscv_iommu_attach_blocking_domain dev=+0(+0($arg2)):string
                f:iommu_trace/domain_free riscv_iommu_free_paging_domain domain=$arg1:x64
                """,
            missing: noQueueFlush),
        ProbedKernel(
            testDescription: "nothing to probe", release: "7.3.4", unit: "ivhd0", hasFprobes: true,
            functions: "schedule",
            probes: "e:iommu_trace/unmapped iommu/unmap iova=$iova:x64 size=$size:u64 unmapped=$unmapped_size:u64",
            missing: [
                "map (iommu_map_nosync, __iommu_map, iommu_map): the log lacks the domain of each map",
                "unmap (iommu_unmap): ", "unmap_ret (iommu_unmap%return): ", "unmap_fast (iommu_unmap_fast): ",
                "unmap_fast_ret (iommu_unmap_fast%return): ", "fq_timeout (fq_flush_timeout): ",
                "domain_alloc (__iommu_paging_domain_alloc_flags%return, amd_iommu_domain_alloc_paging_flags%return, ",
                "dma_iova_link (dma_iova_link): ", "dma_iova_sync (dma_iova_sync): ",
                "dma_iova_unlink (dma_iova_unlink): ", "dma_iova_destroy (dma_iova_destroy): ",
                "sync (amd_iommu_iotlb_sync): ", "sync_map (amd_iommu_iotlb_sync_map): ",
                "flush_all (amd_iommu_flush_iotlb_all): ", "attach (amd_iommu_attach_device): ",
                "detach (blocked_domain_attach_device, amd_iommu_detach_device): ",
                "domain_free (amd_iommu_domain_free): ",
                "amd_cmd (__iommu_queue_command_sync): the log lacks the commands to the hardware",
            ] + noQueueFlush),
    ]
}
