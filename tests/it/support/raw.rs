//! Raw calls: any bytes to any RPC, named as a text.

use bursar::pb;
use prost::Message;
use prost::bytes::{Buf, BufMut};
use prost_types::{DescriptorProto, FileDescriptorProto, FileDescriptorSet, MethodDescriptorProto};
use tonic::codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder};
use tonic::codegen::http::uri::PathAndQuery;
use tonic::{Request, Response, Status};

use super::Client;

/// Messages as the bytes they are.
#[derive(Clone, Copy, Default)]
struct Bytes;

impl Codec for Bytes {
    type Encode = Vec<u8>;
    type Decode = Vec<u8>;
    type Encoder = Self;
    type Decoder = Self;

    fn encoder(&mut self) -> Self {
        Self
    }

    fn decoder(&mut self) -> Self {
        Self
    }
}

impl Encoder for Bytes {
    type Item = Vec<u8>;
    type Error = Status;

    fn encode(&mut self, item: Vec<u8>, buffer: &mut EncodeBuf<'_>) -> Result<(), Status> {
        buffer.put_slice(&item);
        Ok(())
    }
}

impl Decoder for Bytes {
    type Item = Vec<u8>;
    type Error = Status;

    fn decode(&mut self, buffer: &mut DecodeBuf<'_>) -> Result<Option<Vec<u8>>, Status> {
        Ok(Some(buffer.copy_to_bytes(buffer.remaining()).to_vec()))
    }
}

/// Calls an RPC, named as `package.Service/Method`.
pub async fn call(client: &Client, rpc: &str, message: Vec<u8>) -> Result<Response<Vec<u8>>, Status> {
    let mut grpc = tonic::client::Grpc::new(client.transport());
    grpc.ready().await.unwrap();
    let path: PathAndQuery = format!("/{rpc}").parse().unwrap();
    // The first answer of a stream, or the one of all others.
    let (metadata, mut answers, extensions) =
        grpc.server_streaming(Request::new(message), path, Bytes).await?.into_parts();
    let first = answers.message().await?.ok_or_else(|| Status::internal("an answer without a message"))?;
    Ok(Response::from_parts(metadata, first, extensions))
}

/// The contract, as its descriptors tell it.
pub struct Contract(Vec<FileDescriptorProto>);

impl Contract {
    /// Everything that `bursar.v1` and its imports declare.
    pub fn new() -> Self {
        Self(FileDescriptorSet::decode(pb::FILE_DESCRIPTOR_SET).unwrap().file)
    }

    /// The files of Bursar itself.
    pub fn own_files(&self) -> impl Iterator<Item = &FileDescriptorProto> {
        self.0.iter().filter(|file| file.package() == "bursar.v1")
    }

    /// The full names of all services.
    pub fn services(&self) -> Vec<String> {
        self.own_files().flat_map(|file| &file.service).map(|service| format!("bursar.v1.{}", service.name())).collect()
    }

    /// All RPCs, each with its name as `package.Service/Method`.
    pub fn rpcs(&self) -> Vec<(String, &MethodDescriptorProto)> {
        let services = self.own_files().flat_map(|file| &file.service);
        let methods = services.flat_map(|service| {
            service.method.iter().map(|method| (format!("bursar.v1.{}/{}", service.name(), method.name()), method))
        });
        methods.collect()
    }

    /// A message by its full name, `.package.Message` or `.package.Message.Nested`.
    pub fn message(&self, name: &str) -> &DescriptorProto {
        let found = self.0.iter().find_map(|file| {
            let mut parts = name.strip_prefix(&format!(".{}.", file.package()))?.split('.');
            let first = parts.next()?;
            let outer = file.message_type.iter().find(|message| message.name() == first)?;
            parts.try_fold(outer, |outer, part| outer.nested_type.iter().find(|inner| inner.name() == part))
        });
        found.unwrap_or_else(|| panic!("no message {name}"))
    }
}
