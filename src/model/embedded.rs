//! The bundle that is part of the program, so that one binary on an offline machine is enough.

use std::borrow::Cow;

use super::BundleFiles;

macro_rules! bundle {
    ($($name:literal),* $(,)?) => {
        [$(($name, include_bytes!(concat!("../../models/clonewatch-5/", $name)).as_slice())),*]
    };
}

/// Files of the embedded bundle.
pub fn embedded_files() -> BundleFiles {
    bundle![
        "manifest.toml",
        "encoder.onnx",
        "head.onnx",
        "head-telephone.onnx",
        "head-fine.onnx",
        "head-fine-telephone.onnx",
        "golden.wav",
        "golden.json",
        "CARD.md"
    ]
    .into_iter()
    .map(|(name, bytes)| (name.to_owned(), Cow::Borrowed(bytes)))
    .collect()
}
