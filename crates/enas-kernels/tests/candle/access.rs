//! Numbers of tensors as slices.

use candle_core::{DType, Device, Tensor, Var};
use enas_kernels::candle::{distinct, read, write};

fn tensor(numbers: &[f32]) -> Tensor {
    Tensor::new(numbers, &Device::Cpu).unwrap()
}

#[test]
fn writes_nest_and_copy_nothing() {
    let w = tensor(&[1.0, 2.0]);
    let m = tensor(&[10.0, 20.0]);
    let g = tensor(&[0.5, 0.25]);
    let place = read(&w, |w| w.as_ptr().addr()).unwrap();
    let sum = write(&w, |w| {
        write(&m, |m| {
            read(&g, |g| {
                for i in 0..2 {
                    m[i] += g[i];
                    w[i] -= m[i];
                }
                w[0] + w[1]
            })
        })
    });
    assert_eq!(sum.unwrap().unwrap().unwrap(), 1.0 - 10.5 + 2.0 - 20.25);
    assert_eq!(w.to_vec1::<f32>().unwrap(), [-9.5, -18.25]);
    assert_eq!(m.to_vec1::<f32>().unwrap(), [10.5, 20.25]);
    assert_eq!(read(&w, |w| w.as_ptr().addr()).unwrap(), place);
}

#[test]
fn a_view_is_written_where_it_is() {
    let all = tensor(&[0.0; 6]).reshape((3, 2)).unwrap();
    write(&all.narrow(0, 1, 1).unwrap(), |row| row.fill(1.0)).unwrap();
    assert_eq!(all.flatten_all().unwrap().to_vec1::<f32>().unwrap(), [0.0, 0.0, 1.0, 1.0, 0.0, 0.0]);
}

/// Without the refusal each of these would wait for itself for ever.
#[test]
fn aliases_are_refused() {
    let var = Var::new(&[1.0f32, 2.0], &Device::Cpu).unwrap();
    let same = var.as_tensor().clone();
    let detached = var.as_detached_tensor();
    let part = var.narrow(0, 1, 1).unwrap();
    for alias in [&same, &detached, &part] {
        let tries = [
            write(&var, |_| write(alias, |_| ())).unwrap(),
            write(&var, |_| read(alias, |_| ())).unwrap(),
            read(&var, |_| write(alias, |_| ())).unwrap(),
        ];
        for (i, tried) in tries.into_iter().enumerate() {
            let error = tried.unwrap_err().to_string();
            assert!(error.contains("share their numbers"), "{i}: {error}");
        }
        read(&var, |_| read(alias, |_| ())).unwrap().unwrap();
        assert!(distinct(&[&var, alias]).unwrap_err().to_string().contains("share their numbers"));
    }
    // Nothing stays lent.
    write(&var, |v| v[0] = 3.0).unwrap();
    distinct(&[&var, &tensor(&[1.0])]).unwrap();
}

#[test]
fn other_tensors_are_refused_by_name() {
    let doubles = Tensor::zeros(3, DType::F64, &Device::Cpu).unwrap();
    let turned = Tensor::zeros((3, 2), DType::F32, &Device::Cpu).unwrap().t().unwrap();
    for (tensor, word) in [(&doubles, "F64"), (&turned, "[2, 3]")] {
        for error in [read(tensor, |_| ()).unwrap_err(), write(tensor, |_| ()).unwrap_err()] {
            let error = error.to_string();
            assert!(error.contains(word) && error.contains("contiguous F32 tensor on the CPU"), "{error}");
        }
    }
}
