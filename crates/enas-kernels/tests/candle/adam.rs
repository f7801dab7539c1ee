//! Adam on variables against its formula.

use candle_core::backprop::GradStore;
use candle_core::{DType, Device, Tensor, Var};
use candle_nn::Optimizer;
use enas_kernels::candle::{TfAdam, TfAdamConfig};
use enas_testing::tensors::flat;

#[test]
fn steps_equal_the_rule_on_slices_and_that_of_candles_gradients() {
    let start: Vec<f32> = (0..37).map(|i| (i as f32 * 0.7).sin()).collect();
    let config = TfAdamConfig { lr: 0.0035, ..TfAdamConfig::default() };
    let [a, b] = [(); 2].map(|()| Var::from_vec(start.clone(), 37, &Device::Cpu).unwrap());
    let mut slices = TfAdam::named(vec![("a".into(), a.clone())], config).unwrap();
    let mut tensors = TfAdam::new(vec![b.clone()], config).unwrap();
    let mut w = start;
    let mut v = vec![0.0f32; 37];
    for t in 1..=4u64 {
        let g: Vec<f32> = (0..37).map(|i| (i as f32 * 1.3 + t as f32).cos()).collect();
        let rate = (0.0035 * (1.0 - 0.999f64.powf(t as f64)).sqrt()) as f32;
        for i in 0..37 {
            v[i] = 0.999f64 as f32 * v[i] + (1.0 - 0.999f64) as f32 * g[i] * g[i];
            w[i] -= rate * g[i] / (v[i].sqrt() + 1e-3);
        }
        slices.step_slices(|_| Some(&g)).unwrap();
        let mut grads = GradStore::default();
        grads.insert(&b, Tensor::new(g.as_slice(), &Device::Cpu).unwrap());
        tensors.step(&grads).unwrap();
        assert_eq!((flat(&a), flat(&b)), (w.clone(), w.clone()));
    }
    assert_eq!((slices.steps(), tensors.steps()), (4, 4));
    let state: Vec<_> = slices.state().map(|(name, t)| (name, flat(t))).collect();
    assert_eq!(state, [("adam/v/a".to_owned(), v)]);
}

#[test]
fn training_that_is_taken_up_goes_on_the_same() {
    let make = |numbers: Vec<f32>| Var::from_vec(numbers, 3, &Device::Cpu).unwrap();
    let config = TfAdamConfig::default();
    let var = make(vec![1.0, 2.0, 3.0]);
    let mut whole = TfAdam::named(vec![("v".into(), var.clone())], config).unwrap();
    whole.step_slices(|_| Some(&[0.5, -0.5, 0.25])).unwrap();
    let copy = make(flat(&var));
    let mut second = TfAdam::named(vec![("v".into(), copy.clone())], config).unwrap();
    for (name, tensor) in whole.state() {
        assert!(second.load(&name, &flat(tensor)).unwrap());
    }
    second.set_steps(whole.steps());
    for optimizer in [&mut whole, &mut second] {
        optimizer.step_slices(|_| Some(&[0.1, 0.2, 0.3])).unwrap();
    }
    assert_eq!(flat(&var), flat(&copy));
}

#[test]
fn a_variable_without_gradient_stays() {
    let var = Var::new(&[1.5f32], &Device::Cpu).unwrap();
    let mut adam = TfAdam::new(vec![var.clone()], TfAdamConfig::default()).unwrap();
    adam.step(&GradStore::default()).unwrap();
    assert_eq!(flat(&var), [1.5]);
}

/// With the feature `cuda`, and where there is a GPU.
#[test]
fn variables_on_a_gpu_are_updated_there_as_on_the_cpu() {
    let Ok(device) = enas_kernels::gpu::open(0) else { return };
    let start: Vec<f32> = (0..1037).map(|i| (i as f32 * 0.7).sin()).collect();
    let [want, got] = [&Device::Cpu, &device].map(|device| {
        let vars = [(); 2].map(|()| Var::from_vec(start.clone(), 1037, device).unwrap());
        let named = ["a", "b"].map(String::from).into_iter().zip(vars.clone()).collect();
        let mut adam = TfAdam::named(named, TfAdamConfig::default()).unwrap();
        for t in 0..3 {
            let gradient: Vec<f32> = (0..1037).map(|i| (i as f32 * 1.3 + t as f32).cos()).collect();
            adam.step_slices(|i| (i == 0).then_some(gradient.as_slice())).unwrap();
            let mut grads = GradStore::default();
            // A view that begins within a quad.
            let longer = Tensor::from_vec([&[0.0], &gradient[..]].concat(), 1038, device).unwrap();
            grads.insert(&vars[1], longer.narrow(0, 1, 1037).unwrap());
            adam.step(&grads).unwrap();
        }
        assert_eq!(adam.steps(), 6);
        let moments = adam.state().map(|(_, moment)| flat(moment)).collect::<Vec<_>>();
        [vars.iter().map(|var| flat(var)).collect(), moments].concat().concat()
    });
    for (want, got) in want.iter().zip(&got) {
        assert!((want - got).abs() <= 1e-6, "{got}, should be {want}");
    }
    let mixed = [Device::Cpu, device].map(|device| Var::zeros(3, DType::F32, &device).unwrap());
    assert!(TfAdam::new(mixed.to_vec(), TfAdamConfig::default()).is_err());
}

#[test]
fn the_first_step_is_a_tenth_of_that_of_the_bias_corrected_form() {
    // With β₂ = 0.99, g = 1: v = 0.01, √(1 − β₂) = 0.1, so the step is 0.1·η/(0.1 + ε).
    let var = Var::new(&[0.0f32], &Device::Cpu).unwrap();
    let config = TfAdamConfig { lr: 1.0, beta2: 0.99, epsilon: 0.9 };
    let mut adam = TfAdam::named(vec![("v".into(), var.clone())], config).unwrap();
    adam.step_slices(|_| Some(&[1.0])).unwrap();
    assert!((flat(&var)[0] + 0.1).abs() < 1e-6, "{var:?}");
}
