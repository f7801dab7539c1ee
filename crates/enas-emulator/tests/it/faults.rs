//! Wrong kernels: each mistake is found, in every order of threads, and the message names what is needed to mend it.

use enas_emulator::{Emulator, Error, Fault, FaultKind, LaunchArg, LaunchRequest};

/// Launches with two blocks or one, under several orders; the fault of the last one.
fn fault(kernel: &str, grid: u32, block: u32, args: impl Fn(&Emulator) -> Vec<LaunchArg>) -> Fault {
    let gpu = Emulator::start().expect("the build made the program");
    let mut last = None;
    for order_seed in (0..8).rev() {
        let launch = LaunchRequest {
            kernel,
            grid: [grid, 1, 1],
            block: [block, 1, 1],
            order_seed,
            ..LaunchRequest::default()
        };
        let error = gpu.launch(&launch, &args(&gpu)).expect_err("the kernel is wrong");
        let Error::Fault(fault) = error else { panic!("not a fault of the kernel: {error}") };
        assert!(last.as_ref().is_none_or(|kind| *kind == fault.kind), "order seed {order_seed}: {fault}");
        last = Some(fault.kind);
        if order_seed == 0 {
            assert_eq!(fault.kernel, kernel);
            assert!(fault.place.starts_with("kernels/wrong.cu:"), "{fault}");
            assert!(fault.to_string().starts_with(&format!("kernel `{kernel}`, block (")), "{fault}");
            return *fault;
        }
    }
    unreachable!("the loop ends with order seed 0")
}

fn written(gpu: &Emulator, n: usize) -> LaunchArg {
    LaunchArg::Buffer(gpu.upload(&vec![0_f32; n]).expect("memory"), 0)
}

fn unwritten(gpu: &Emulator, n: u64) -> LaunchArg {
    LaunchArg::Buffer(gpu.alloc(4 * n).expect("memory"), 0)
}

fn check(fault: &Fault, kind: FaultKind, thread: u32, message: &str) {
    assert_eq!((fault.kind, fault.thread, &*fault.message), (kind, [thread, 0, 0], message), "{fault}");
}

#[test]
fn a_read_past_the_end_is_found() {
    let found = fault("wrong_read_past_end", 1, 64, |gpu| {
        vec![written(gpu, 40), unwritten(gpu, 40), LaunchArg::U32(40)]
    });
    check(
        &found,
        FaultKind::OutOfBounds,
        40,
        "read of element 40 of `x` (argument 0), which has 40 elements",
    );
}

#[test]
fn a_write_past_the_end_is_found() {
    let found = fault("wrong_write_past_end", 1, 64, |gpu| vec![unwritten(gpu, 63)]);
    check(
        &found,
        FaultKind::OutOfBounds,
        63,
        "write of element 63 of `y` (argument 0), which has 63 elements",
    );
}

#[test]
fn an_access_beyond_the_part_an_argument_gives_is_found() {
    let found = fault("wrong_write_past_end", 1, 64, |gpu| {
        let y = gpu.alloc(4 * 100).unwrap();
        vec![LaunchArg::Slice(y, 16, 4 * 60)]
    });
    check(
        &found,
        FaultKind::OutOfBounds,
        60,
        "write of element 60 of `y` (argument 0), which has 60 elements",
    );
}

#[test]
fn a_missing_barrier_is_found() {
    let gpu = Emulator::start().unwrap();
    // Without the read, threads do not meet: the kernel is right.
    let launch =
        LaunchRequest { kernel: "wrong_missing_barrier", block: [64, 1, 1], ..LaunchRequest::default() };
    gpu.launch(&launch, &[written(&gpu, 64), LaunchArg::Null]).unwrap();
    let found = fault("wrong_missing_barrier", 1, 64, |gpu| vec![written(gpu, 64), unwritten(gpu, 64)]);
    let expected = "race: writes element 32 of `tile` (shared), which thread (0,0,0) read since the barrier at \
                    kernels/wrong.cu:17 (length 64)";
    check(&found, FaultKind::Race, 32, expected);
}

#[test]
fn memory_that_is_used_again_too_early_is_found() {
    let found = fault("wrong_overwrite", 1, 64, |gpu| vec![written(gpu, 64), unwritten(gpu, 64)]);
    assert_eq!(found.kind, FaultKind::Race);
    let expected = "race: reads element 0 of `tile` (shared), which thread (0,0,0) wrote since the barrier at \
                    kernels/wrong.cu:26 (length 64)";
    check(&found, FaultKind::Race, 1, expected);
}

#[test]
fn a_warp_barrier_between_warps_is_found() {
    let found = fault("wrong_warp_barrier", 1, 64, |gpu| vec![unwritten(gpu, 64)]);
    // The last thread that reaches the warp barrier continues first.
    let expected = "race: writes element 63 of `tile` (shared), which thread (31,0,0) read since the barrier at \
                    kernels/wrong.cu:36 (length 64)";
    check(&found, FaultKind::Race, 63, expected);
}

#[test]
fn a_reader_that_writes_is_found_among_readers() {
    let cases = [
        (2, 1, "several threads of warp 0"),
        (33, 31, "several threads of warp 0"),
        (64, 40, "threads of several warps"),
    ];
    for (threads, writer, readers) in cases {
        let found = fault("wrong_common_read", 1, threads, |gpu| {
            vec![unwritten(gpu, threads.into()), LaunchArg::U32(writer)]
        });
        let kind = FaultKind::Race;
        let place = "since the barrier at kernels/wrong.cu:46 (length 1)";
        check(
            &found,
            kind,
            writer,
            &format!("race: writes element 0 of `common` (shared), which {readers} read {place}"),
        );
    }
    let found =
        fault("wrong_common_block", 4, 1, |gpu| vec![written(gpu, 1), unwritten(gpu, 4), LaunchArg::U32(2)]);
    let expected =
        "race: writes element 0 of `x` (argument 0), which several blocks read in this launch (length 1)";
    check(&found, FaultKind::Race, 0, expected);
    assert_eq!(found.block, [2, 0, 0]);
}

#[test]
fn threads_that_end_before_a_barrier_are_found() {
    let found = fault("wrong_early_exit", 1, 64, |gpu| vec![unwritten(gpu, 64)]);
    let expected = "__syncthreads is not reached by all threads of the block: thread (32,0,0) has ended";
    check(&found, FaultKind::Divergence, 0, expected);
}

#[test]
fn threads_at_different_barriers_are_found() {
    let found = fault("wrong_two_barriers", 1, 64, |gpu| vec![unwritten(gpu, 64)]);
    let expected = "__syncthreads is not reached by all threads of the block: thread (32,0,0) waits at \
                    __syncthreads at kernels/wrong.cu:71";
    check(&found, FaultKind::Divergence, 0, expected);
}

#[test]
fn a_shuffle_within_a_branch_is_found() {
    let found = fault("wrong_shuffle", 1, 32, |gpu| vec![unwritten(gpu, 32)]);
    let expected = "__shfl_down_sync is not reached by all threads of the warp: thread (16,0,0) has ended";
    check(&found, FaultKind::Divergence, 0, expected);
}

#[test]
fn unwritten_shared_memory_is_found() {
    let found = fault("wrong_unwritten_shared", 2, 64, |gpu| vec![unwritten(gpu, 64)]);
    let expected = "read of element 32 of `tile` (shared), which was never written (length 64)";
    check(&found, FaultKind::Uninitialised, 32, expected);
}

#[test]
fn unwritten_global_memory_is_found() {
    let found = fault("wrong_unwritten_global", 1, 4, |gpu| vec![unwritten(gpu, 4)]);
    let expected = "read of element 0 of `y` (argument 0), which was never written (length 4)";
    check(&found, FaultKind::Uninitialised, 0, expected);
    let found = fault("wrong_unwritten_global", 1, 4, |gpu| {
        let y = gpu.upload(&[1_f32; 4]).unwrap();
        gpu.fill_undefined(y).unwrap();
        vec![LaunchArg::Buffer(y, 0)]
    });
    check(&found, FaultKind::Uninitialised, 0, expected);
}

#[test]
fn two_blocks_that_write_one_element_are_found() {
    let found = fault("wrong_two_blocks", 2, 4, |gpu| vec![unwritten(gpu, 4)]);
    assert_eq!(found.block, [1, 0, 0]);
    let expected = "race: writes element 0 of `y` (argument 0), which thread (0,0,0) of block (0,0,0) wrote in this \
                    launch (length 4)";
    check(&found, FaultKind::Race, 0, expected);
}

#[test]
fn a_read_of_what_another_block_writes_is_found() {
    let found = fault("wrong_block_order", 2, 1, |gpu| vec![written(gpu, 2)]);
    let expected = "race: writes element 0 of `y` (argument 0), which thread (0,0,0) of block (0,0,0) read in this \
                    launch (length 2)";
    check(&found, FaultKind::Race, 0, expected);
}

#[test]
fn a_write_to_what_is_read_through_in_is_found() {
    let found = fault("wrong_in_place", 1, 4, |gpu| {
        let both = written(gpu, 4);
        vec![both, both]
    });
    assert_eq!((found.kind, found.thread), (FaultKind::Alias, [0; 3]), "{found}");
    assert!(found.message.contains("what is read through In must not change"), "{found}");
    // The same buffer, but not the same elements, is fine.
    let gpu = Emulator::start().unwrap();
    let both = gpu.upload(&[0_f32; 8]).unwrap();
    let launch = LaunchRequest { kernel: "wrong_in_place", block: [4, 1, 1], ..LaunchRequest::default() };
    gpu.launch(&launch, &[LaunchArg::Buffer(both, 0), LaunchArg::Buffer(both, 16)]).unwrap();
}

#[test]
fn a_wide_access_that_is_not_aligned_is_found() {
    let found = fault("wrong_alignment", 1, 1, |gpu| vec![written(gpu, 8), unwritten(gpu, 8)]);
    let expected = "element 1 of `x` (argument 0) is not aligned to the 16 bytes that are moved at once";
    check(&found, FaultKind::Misaligned, 0, expected);
}

#[test]
fn too_much_shared_memory_is_found() {
    let gpu = Emulator::start().unwrap();
    let launch = LaunchRequest {
        kernel: "wrong_shared_size",
        block: [32, 1, 1],
        shared_bytes: 128,
        ..LaunchRequest::default()
    };
    let error = gpu.launch(&launch, &[unwritten(&gpu, 32)]).unwrap_err();
    let Error::Fault(fault) = error else { panic!("{error}") };
    let expected =
        "shared array `tile` brings the block's shared memory to 49280 bytes; the launch allows 49152";
    check(&fault, FaultKind::SharedMemory, 0, expected);
    // A launch may opt in to more.
    gpu.launch(&LaunchRequest { shared_limit: 64 << 10, ..launch }, &[unwritten(&gpu, 32)]).unwrap();
}

#[test]
fn an_index_outside_of_a_threads_own_array_is_found() {
    let found = fault("wrong_own_array", 1, 1, |gpu| vec![unwritten(gpu, 1), LaunchArg::U32(5)]);
    check(&found, FaultKind::OutOfBounds, 0, "index outside of a thread's own array");
}

#[test]
fn arithmetic_without_a_result_is_found() {
    let found = fault("wrong_division", 1, 1, |gpu| vec![unwritten(gpu, 1), LaunchArg::I32(0)]);
    check(&found, FaultKind::Arithmetic, 0, "division by zero, or its overflow");
    let found = fault("wrong_product", 1, 1, |gpu| vec![unwritten(gpu, 1), LaunchArg::I32(32_768)]);
    check(&found, FaultKind::Arithmetic, 0, "overflow of a signed product");
}

#[test]
fn an_atomic_update_does_not_order_plain_reads() {
    let found = fault("wrong_atomic", 1, 32, |gpu| {
        vec![LaunchArg::Buffer(gpu.upload(&[0_u32]).unwrap(), 0), unwritten(gpu, 1), LaunchArg::U32(31)]
    });
    let expected = "race: reads element 0 of `count` (argument 0), which several threads of warp 0 wrote since the \
                    block began (length 1)";
    check(&found, FaultKind::Race, 31, expected);
}

#[test]
fn barriers_without_end_are_found() {
    let found = fault("wrong_endless_barriers", 1, 1, |gpu| vec![written(gpu, 1)]);
    assert_eq!(found.kind, FaultKind::Endless, "{found}");
}

#[test]
fn the_emulator_stays_usable_after_a_fault() {
    let gpu = Emulator::start().unwrap();
    let kept = gpu.upload(&[7_f32]).unwrap();
    let launch =
        LaunchRequest { kernel: "wrong_write_past_end", block: [64, 1, 1], ..LaunchRequest::default() };
    assert!(matches!(gpu.launch(&launch, &[unwritten(&gpu, 63)]), Err(Error::Fault(_))));
    gpu.launch(&launch, &[unwritten(&gpu, 64)]).unwrap();
    assert_eq!(gpu.download::<f32>(kept).unwrap(), [7.0]);
    assert_eq!(gpu.launches(), 1);
}

#[test]
fn a_kernel_that_ends_the_program_is_an_error_and_the_next_launch_works() {
    let gpu = Emulator::start().unwrap();
    let lost = |kernel, seconds, args: &[LaunchArg]| {
        let error =
            gpu.launch(&LaunchRequest { kernel, seconds, ..LaunchRequest::default() }, args).unwrap_err();
        assert!(matches!(error, Error::Lost { .. }), "{error}");
        error.to_string()
    };
    let old = gpu.upload(&[0_u32]).unwrap();
    assert_eq!(
        lost("wrong_endless", 1, &[LaunchArg::Buffer(old, 0)]),
        "kernel `wrong_endless`, block (0,0,0), thread (0,0,0): the launch ran longer than its limit; does a loop \
         never end?; the emulator was started again and all its buffers are lost"
    );
    assert!(matches!(gpu.len(old), Err(Error::UnknownBuffer(_))));
    let y = gpu.alloc(4).unwrap();
    let message = lost("wrong_depth", 300, &[LaunchArg::Buffer(y, 0), LaunchArg::I32(10_000)]);
    assert!(message.contains("thread (0,0,0): the thread's stack of 64 KiB overflowed; "), "{message}");
    let y = gpu.alloc(4).unwrap();
    let launch = LaunchRequest { kernel: "wrong_depth", ..LaunchRequest::default() };
    gpu.launch(&launch, &[LaunchArg::Buffer(y, 0), LaunchArg::I32(10)]).unwrap();
}
