//! The two networks as tract plans with static shapes.

use std::{io::Cursor, sync::Arc};

use tract_onnx::prelude::{
    Datum, Framework, InferenceFact, InferenceModelExt, IntoRunnable, TValue, Tensor, TypedRunnableModel, tvec,
};

/// One optimised network: a float tensor in, a float tensor out.
pub(super) struct Plan {
    plan: Arc<TypedRunnableModel>,
    input_shape: Vec<usize>,
    output_numbers: usize,
}

impl Plan {
    /// Parses ONNX `bytes`, fixes the input to `input_shape`, optimises, and checks that one output of
    /// `output_shape` comes out.
    pub(super) fn load(bytes: &[u8], input_shape: &[usize], output_shape: &[usize]) -> Result<Self, String> {
        let model = tract_onnx::onnx()
            .model_for_read(&mut Cursor::new(bytes))
            .and_then(|model| model.with_input_fact(0, InferenceFact::dt_shape(f32::datum_type(), input_shape)))
            .and_then(|model| model.into_optimized())
            .map_err(|e| format!("{e:#}"))?;
        let fact = model.output_fact(0).map_err(|e| format!("{e:#}"))?;
        let found: Option<Vec<usize>> = fact.shape.as_concrete().map(<[usize]>::to_vec);
        if model.outputs.len() != 1 || found.as_deref() != Some(output_shape) {
            return Err(format!("expected one output of shape {output_shape:?}, found {:?}", fact.shape));
        }
        let plan = model.into_runnable().map_err(|e| format!("{e:#}"))?;
        Ok(Self { plan, input_shape: input_shape.to_vec(), output_numbers: output_shape.iter().product() })
    }

    /// Runs the network on `input` (row-major, the shape given at load) and writes its output to `out`.
    pub(super) fn run(&self, input: &[f32], out: &mut Vec<f32>) -> Result<(), String> {
        let tensor = Tensor::from_shape(&self.input_shape, input).map_err(|e| format!("{e:#}"))?;
        let outputs = self.plan.run(tvec!(TValue::from(tensor))).map_err(|e| format!("{e:#}"))?;
        let view = outputs.first().ok_or("the network gave no output")?.to_plain_array_view::<f32>();
        let view = view.map_err(|e| format!("{e:#}"))?;
        out.clear();
        out.extend(view.iter());
        if out.len() != self.output_numbers || out.iter().any(|value| !value.is_finite()) {
            return Err("the network gave values that are not finite".into());
        }
        Ok(())
    }
}
