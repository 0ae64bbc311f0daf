//! Protos to Rust and to the descriptor set; nothing else.

use std::path::PathBuf;

use prost::Message;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    println!("cargo:rerun-if-changed=proto");
    let mut protos: Vec<PathBuf> =
        std::fs::read_dir("proto/bursar/v1")?.map(|entry| entry.map(|entry| entry.path())).collect::<Result<_, _>>()?;
    protos.sort();
    // Pure Rust: a fresh machine needs no protoc. Comments stay in, so that
    // reflection shows them.
    let descriptors = protox::Compiler::new(["proto"])?
        .include_imports(true)
        .include_source_info(true)
        .open_files(&protos)?
        .file_descriptor_set();
    #[expect(clippy::disallowed_methods, reason = "how cargo tells where to write")]
    let out = PathBuf::from(std::env::var("OUT_DIR")?);
    std::fs::write(out.join("descriptors.bin"), descriptors.encode_to_vec())?;
    tonic_prost_build::configure().extern_path(".google.rpc", "::tonic_types::pb").compile_fds(descriptors)?;
    Ok(())
}
