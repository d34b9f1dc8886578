//! Bodies of requests behind a sound header: the first byte chooses the API, the second the version.

use std::path::Path;

use bytes::BufMut;
use bytes::BytesMut;
use gregor::protocol::ApiKey;
use gregor::protocol::decode_request;

use super::fixtures;
use super::input::Input;
use super::requests::memory;
use super::requests::says_the_same_again;
use super::within;

pub fn holds(input: &[u8]) {
    let mut rest = Input(input);
    let api = ApiKey::ALL[usize::from(rest.byte()) % ApiKey::ALL.len()];
    let version = rest.byte() % 3;
    let mut frame = BytesMut::new();
    frame.put_i16(api.code());
    frame.put_i16(version.into());
    frame.put_i32(7);
    if api != ApiKey::ControlledShutdown {
        frame.put_i16(2);
        frame.put_slice(b"me");
    }
    frame.put_slice(rest.0);
    let limit = memory(frame.len());
    match within(limit, || decode_request(frame)) {
        Ok((header, request)) => {
            assert_eq!((request.key(), header.correlation_id), (api, 7));
            says_the_same_again(&header, &request, input);
        }
        Err(error) => {
            let header = error.header.expect("the header was sound");
            assert_eq!((header.api_key, header.correlation_id), (api.code(), 7));
        }
    }
}

pub fn seeds(folder: &Path) -> Vec<Vec<u8>> {
    let body = |request: Vec<u8>| {
        let api = u8::try_from(i16::from_be_bytes(*request.first_chunk()?)).ok()?;
        let after = request.get(8..)?;
        let has_client_id = ApiKey::from_code(api.into()) != Some(ApiKey::ControlledShutdown);
        let client_len = match after.first_chunk().map(|len| i16::from_be_bytes(*len)) {
            Some(len) if has_client_id => 2 + usize::try_from(len).unwrap_or_default(),
            _ => 0,
        };
        Some([&[api, *request.get(3)?], after.get(client_len..)?].concat())
    };
    let exchanges = fixtures::exchanges(folder).into_iter();
    let mut seeds: Vec<_> = exchanges.filter_map(|exchange| body(exchange.request)).collect();
    seeds.retain(|seed| seed.len() < 10_000);
    seeds
}
