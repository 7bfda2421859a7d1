//! Writes rust.safetensors with the reference library, a tensor of every dtype, and
//! prints the lines of golden.txt for it.
use safetensors::tensor::{serialize_to_file, Dtype, TensorView};
use sha2::{Digest, Sha256};
use std::collections::HashMap;

fn main() {
    use Dtype::*;
    let all = [
        BOOL, F4, F6_E2M3, F6_E3M2, U8, I8, F8_E5M2, F8_E4M3, F8_E8M0, F8_E4M3FNUZ, F8_E5M2FNUZ,
        I16, U16, F16, BF16, I32, U32, F32, C64, F64, I64, U64,
    ];
    let shape = vec![2, 4, 3];
    let data: Vec<Vec<u8>> = all
        .iter()
        .enumerate()
        .map(|(i, d)| {
            let n = 24 * d.bitsize() / 8;
            (0..n).map(|k| (k * 37 + i * 11) as u8).collect()
        })
        .collect();
    let mut tensors = Vec::new();
    for (d, bytes) in all.iter().zip(&data) {
        let name = format!("all.{d}");
        let sum = Sha256::digest(bytes);
        println!("rust.safetensors \"{name}\" {d} [2,4,3] {sum:x}");
        tensors.push((name, TensorView::new(*d, shape.clone(), bytes).unwrap()));
    }
    let metadata: HashMap<String, String> = [("writer".to_string(), "rust".to_string())].into();
    serialize_to_file(tensors, Some(metadata), "rust.safetensors".as_ref()).unwrap();
}
