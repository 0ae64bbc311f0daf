//! Protos to Rust and to the descriptor set; nothing else.

use std::path::PathBuf;

use prost::Message;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    println!("cargo:rerun-if-changed=proto");
    #[expect(clippy::disallowed_methods, reason = "how cargo tells where to write")]
    let out = PathBuf::from(std::env::var("OUT_DIR")?);
    // Pure Rust: a fresh machine needs no protoc. Comments stay in, so that
    // reflection shows them.
    let descriptors = described(&["proto/bursar/v1"])?;
    std::fs::write(out.join("descriptors.bin"), descriptors.encode_to_vec())?;
    // The same message must be the same bytes: repeats are told from other requests
    // by a hash of them.
    tonic_prost_build::configure()
        .btree_map(".")
        .extern_path(".google.rpc", "::tonic_types::pb")
        .compile_fds(descriptors)?;
    // What Bursar calls and does not serve: reflection does not show it.
    let callouts = out.join("callouts");
    std::fs::create_dir_all(&callouts)?;
    tonic_prost_build::configure()
        .out_dir(callouts)
        .extern_path(".bursar.v1", "crate::pb")
        .extern_path(".google.rpc", "::tonic_types::pb")
        .compile_fds(described(&["proto/bursar/policy/v1"])?)?;
    // What Envoy asks, by its own protos.
    let envoy = out.join("envoy");
    std::fs::create_dir_all(&envoy)?;
    tonic_prost_build::configure()
        .out_dir(envoy)
        .include_file("mod.rs")
        .build_client(true)
        .extern_path(".google.rpc", "::tonic_types::pb")
        .compile_fds(described(&["proto/envoy/service/auth/v3", "proto/envoy/service/ratelimit/v3"])?)?;
    Ok(())
}

/// The protos of some folders, with what they import and their comments.
fn described(folders: &[&str]) -> Result<prost_types::FileDescriptorSet, Box<dyn std::error::Error>> {
    let mut protos: Vec<PathBuf> = Vec::new();
    for folder in folders {
        for entry in std::fs::read_dir(folder)? {
            protos.push(entry?.path());
        }
    }
    protos.sort();
    let mut compiler = protox::Compiler::new(["proto"])?;
    compiler.include_imports(true).include_source_info(true).open_files(&protos)?;
    Ok(compiler.file_descriptor_set())
}
