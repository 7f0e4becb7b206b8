//! The bundles that are part of the program, so that one binary on an offline machine is enough.

use std::borrow::Cow;

use super::BundleFiles;

macro_rules! bundle {
    ($folder:literal: $($name:literal),* $(,)?) => {
        [$(($name, include_bytes!(concat!("../../models/", $folder, "/", $name)).as_slice())),*]
            .into_iter()
            .map(|(name, bytes)| (name.to_owned(), Cow::Borrowed(bytes)))
            .collect()
    };
    ($folder:literal) => {
        bundle!(
            $folder: "manifest.toml", "encoder.onnx", "head.onnx", "head-telephone.onnx", "head-fine.onnx",
            "head-fine-telephone.onnx", "golden.wav", "golden.json", "CARD.md",
        )
    };
}

/// Files of the embedded bundle that judges where none is named.
pub fn embedded_files() -> BundleFiles {
    bundle!("clonewatch-10")
}

/// Files of the embedded light bundle: about a third of the time, for many calls on a small machine; it hears
/// less on the telephone (see its card).
pub fn embedded_light_files() -> BundleFiles {
    bundle!("clonewatch-10-light")
}
