//! What callers ask for is checked: arguments, limits, buffers; each refusal says what would be right.

use enas_emulator::{Emulator, LaunchArg, LaunchRequest};

fn refusal(gpu: &Emulator, launch: &LaunchRequest<'_>, args: &[LaunchArg]) -> String {
    gpu.launch(launch, args).expect_err("the launch is wrong").to_string()
}

#[test]
fn an_unknown_kernel_is_refused_with_similar_names() {
    let gpu = Emulator::start().unwrap();
    let message =
        refusal(&gpu, &LaunchRequest { kernel: "emulator_row_sum", ..LaunchRequest::default() }, &[]);
    assert!(
        message.starts_with("there is no kernel `emulator_row_sum`; nearest: emulator_row_sums, "),
        "{message}"
    );
}

#[test]
fn wrong_arguments_are_refused_with_the_signature() {
    let gpu = Emulator::start().unwrap();
    let x = gpu.upload(&[0_f32; 8]).unwrap();
    let launch = LaunchRequest { kernel: "emulator_copy4", ..LaunchRequest::default() };
    let signature = "kernel `emulator_copy4(x: In<f32>, y: Out<f32>, n: u32)`";
    let buffer = LaunchArg::Buffer(x, 0);
    let cases: [(&[LaunchArg], &str); 4] = [
        (&[buffer, buffer], "takes 3 arguments, got 2"),
        (&[buffer, buffer, LaunchArg::I32(1)], "argument 2 (`n`: u32) got i32"),
        (&[buffer, LaunchArg::U32(1), LaunchArg::U32(1)], "argument 1 (`y`: Out<f32>) got u32"),
        (
            &[buffer, LaunchArg::Buffer(x, 2), LaunchArg::U32(1)],
            "argument 1 (`y`: Out<f32>) begins at byte 2, no multiple of the element's 4",
        ),
    ];
    for (args, expected) in cases {
        assert_eq!(refusal(&gpu, &launch, args), format!("{signature}: {expected}"));
    }
}

#[test]
fn launches_no_device_accepts_are_refused() {
    let gpu = Emulator::start().unwrap();
    let count = gpu.upload(&[0_u32]).unwrap();
    let launch = LaunchRequest { kernel: "emulator_count", ..LaunchRequest::default() };
    let refused = |launch: LaunchRequest<'_>| refusal(&gpu, &launch, &[LaunchArg::Buffer(count, 0)]);
    let cases = [
        (LaunchRequest { grid: [1, 65_536, 1], ..launch }, "grid [1, 65536, 1] must lie between"),
        (LaunchRequest { block: [0, 1, 1], ..launch }, "block [0, 1, 1] must lie between"),
        (LaunchRequest { block: [1, 1, 65], ..launch }, "block [1, 1, 65] must lie between"),
        (LaunchRequest { block: [64, 17, 1], ..launch }, "1088 threads per block; the kernel allows 1024"),
        (
            LaunchRequest { shared_bytes: 49_153, ..launch },
            "49153 bytes of shared memory; the launch allows 49152",
        ),
        (LaunchRequest { shared_limit: 232_449, ..launch }, "a limit of 232449 bytes of shared memory"),
    ];
    for (launch, expected) in cases {
        let message = refused(launch);
        assert!(message.starts_with(&format!("kernel `emulator_count`: {expected}")), "{message}");
    }
    let rows = LaunchRequest { kernel: "emulator_row_sums", block: [257, 1, 1], ..LaunchRequest::default() };
    let buffer = LaunchArg::Buffer(count, 0);
    assert_eq!(
        refusal(&gpu, &rows, &[buffer, buffer, LaunchArg::U32(1)]),
        "kernel `emulator_row_sums`: 257 threads per block; the kernel allows 256"
    );
}

#[test]
fn kernels_are_listed_with_their_signatures() {
    let gpu = Emulator::start().unwrap();
    let rows = gpu.kernels().iter().find(|kernel| kernel.name == "emulator_row_sums").unwrap();
    assert_eq!(rows.to_string(), "kernel `emulator_row_sums(x: In<f32>, y: Out<f32>, n: u32)`");
    assert_eq!((rows.max_threads, &*rows.file), (256, "kernels/right.cu"));
    assert!(gpu.kernels().is_sorted_by_key(|kernel| &kernel.name));
}

#[test]
fn bytes_come_back_and_unwritten_ones_are_an_error() {
    let gpu = Emulator::start().unwrap();
    let a = gpu.alloc(8).unwrap();
    let b = gpu.alloc(8).unwrap();
    gpu.write(a, 2, &[1, 2, 3]).unwrap();
    assert_eq!(gpu.read(a, 2, 3).unwrap(), [1, 2, 3]);
    assert_eq!(gpu.read(a, 2, 4).unwrap_err().to_string(), "byte 5 of BufferId(1) was never written");
    gpu.fill(b, 0, 8, 9).unwrap();
    gpu.copy((a, 1), (b, 4), 3).unwrap();
    assert_eq!(gpu.read(b, 5, 3).unwrap(), [1, 2, 9]);
    assert_eq!(gpu.read(b, 0, 8).unwrap_err().to_string(), "byte 4 of BufferId(2) was never written");
}

#[test]
fn ranges_and_buffers_that_do_not_exist_are_refused() {
    let gpu = Emulator::start().unwrap();
    let a = gpu.alloc(6).unwrap();
    assert_eq!(gpu.read(a, 4, 3).unwrap_err().to_string(), "bytes 4..7 of BufferId(1), which has 6");
    assert!(gpu.write(a, u64::MAX, &[0]).is_err());
    assert_eq!(
        gpu.download::<f32>(a).unwrap_err().to_string(),
        "BufferId(1) has 6 bytes, no multiple of the element's 4"
    );
    let launch = LaunchRequest { kernel: "emulator_count", ..LaunchRequest::default() };
    assert_eq!(refusal(&gpu, &launch, &[LaunchArg::Buffer(a, 8)]), "bytes 8..8 of BufferId(1), which has 6");
    assert!(gpu.alloc(u64::MAX).unwrap_err().to_string().starts_with("the emulator has no memory for"));
    gpu.free(a).unwrap();
    let gone = "BufferId(1) does not exist: it was freed, or lost when the emulator had to start again";
    assert_eq!(gpu.free(a).unwrap_err().to_string(), gone);
    assert_eq!(refusal(&gpu, &launch, &[LaunchArg::Buffer(a, 0)]), gone);
    assert_ne!(gpu.alloc(6).unwrap(), a);
}

#[test]
fn an_emulator_is_shared_between_threads() {
    let gpu = Emulator::start().unwrap();
    let count = gpu.upload(&[0_u32]).unwrap();
    let launch = LaunchRequest { kernel: "emulator_count", block: [32, 1, 1], ..LaunchRequest::default() };
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| gpu.launch(&launch, &[LaunchArg::Buffer(count, 0)]).unwrap());
        }
    });
    assert_eq!((gpu.download::<u32>(count).unwrap(), gpu.launches()), (vec![128], 4));
}
