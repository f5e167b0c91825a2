//! Vectors as they come from embedders.

use crate::error::{Error, Result};

/// A vector of `dim` finite numbers at unit length; `None` for none and for all zeros. InvalidInput for a wrong dimension, NaN
/// or infinity.
pub fn normalise_vector(vector: Option<Vec<f32>>, dim: usize) -> Result<Option<Vec<f32>>> {
    let Some(mut vector) = vector else { return Ok(None) };
    if vector.len() != dim {
        return Err(Error::invalid(format!(
            "the embedder gave a vector of {} dimensions, its own dimension is {dim}",
            vector.len()
        ))
        .with_code("wrong_dimension"));
    }
    if !vector.iter().all(|x| x.is_finite()) {
        return Err(Error::invalid("the embedder gave a vector with NaN or infinity").with_code("vector_not_finite"));
    }
    // Sum in f64: the squares of large finite f32 overflow in f32.
    let norm = vector.iter().map(|&x| f64::from(x) * f64::from(x)).sum::<f64>().sqrt();
    if norm < 1e-12 {
        return Ok(None);
    }
    for x in &mut vector {
        *x = (f64::from(*x) / norm) as f32;
    }
    Ok(Some(vector))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_vector_comes_out_at_unit_length_even_when_its_squares_overflow() {
        let v = normalise_vector(Some(vec![3e30, 4e30]), 2).unwrap().unwrap();
        assert!((v[0] - 0.6).abs() < 1e-6 && (v[1] - 0.8).abs() < 1e-6);
    }

    #[test]
    fn zeros_are_no_vector_and_odd_ones_are_invalid() {
        assert_eq!(normalise_vector(Some(vec![0.0, 0.0]), 2).unwrap(), None);
        assert_eq!(normalise_vector(None, 2).unwrap(), None);
        for bad in [vec![f32::NAN, 1.0], vec![f32::INFINITY, 0.0], vec![1.0], vec![1.0, 0.0, 0.0]] {
            assert!(normalise_vector(Some(bad), 2).is_err());
        }
    }
}
