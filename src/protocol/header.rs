//! What comes before the body: who asks for what, and which answer belongs to it.

use bytes::BufMut;
use bytes::BytesMut;

use crate::protocol::ApiKey;
use crate::protocol::codec::Parsed;
use crate::protocol::codec::be_i16;
use crate::protocol::codec::be_i32;
use crate::protocol::codec::nullable_string;
use crate::protocol::codec::put_string;

/// The header of a request, whatever it asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RequestHeader {
    /// The API's number; perhaps one that 0.8.2.2 hasn't got.
    pub api_key: i16,
    /// The version that the sender speaks. 0.8.2.2 mostly ignores it.
    pub api_version: i16,
    /// Echoed in the response.
    pub correlation_id: i32,
    /// Who asks, as it calls itself; for logs and metrics.
    pub client_id: Option<String>,
}

impl RequestHeader {
    /// Parses a header. ControlledShutdown's ends before the client id; for an API that isn't known the client id is
    /// only wanted for the log, and may be missing.
    pub(super) fn parse(input: &[u8]) -> Parsed<'_, Self> {
        let (input, api_key) = be_i16(input)?;
        let (input, api_version) = be_i16(input)?;
        let (input, correlation_id) = be_i32(input)?;
        let (input, client_id) = match ApiKey::from_code(api_key) {
            Some(key) if has_client_id(key) => nullable_string(input)?,
            Some(_) => (input, None),
            None => nullable_string(input).unwrap_or((input, None)),
        };
        let header = Self {
            api_key,
            api_version,
            correlation_id,
            client_id,
        };
        Ok((input, header))
    }

    /// Writes the header.
    pub(super) fn put(buf: &mut BytesMut, key: ApiKey, version: i16, (id, client): (i32, Option<&str>)) {
        buf.put_i16(key.code());
        buf.put_i16(version);
        buf.put_i32(id);
        if has_client_id(key) {
            put_string(buf, client);
        }
    }
}

fn has_client_id(key: ApiKey) -> bool {
    key != ApiKey::ControlledShutdown
}
