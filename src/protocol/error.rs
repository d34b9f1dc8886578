//! Why a frame could not be read, and where.

use crate::protocol::codec::Parsed;
use crate::protocol::header::RequestHeader;

/// Why a frame could not be read, and whose it is as far as that could be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{failure}")]
pub struct DecodeError {
    /// The request's header, if that much was sound.
    pub header: Option<RequestHeader>,
    /// What is wrong.
    pub failure: DecodeFailure,
}

/// What is wrong with a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum DecodeFailure {
    /// 0.8.2.2 has no such API.
    #[error("unknown API {0}")]
    UnknownApi(i16),
    /// The API is there, but not in this version.
    #[error("unknown version {0}")]
    UnknownVersion(i16),
    /// The frame ends too early, or a value is not possible.
    #[error("malformed at byte {at}")]
    Malformed {
        /// Where, counted from the start of what was parsed.
        at: usize,
    },
    /// The frame goes on after its last field.
    #[error("{bytes} bytes too many")]
    Surplus {
        /// By how much.
        bytes: usize,
    },
}

impl From<DecodeFailure> for DecodeError {
    fn from(failure: DecodeFailure) -> Self {
        Self {
            header: None,
            failure,
        }
    }
}

/// Says where in `whole` a parser gave up.
pub(super) fn malformed(whole: &[u8], error: nom::Err<nom::error::Error<&[u8]>>) -> DecodeFailure {
    let rest = match error {
        nom::Err::Error(error) | nom::Err::Failure(error) => error.input.len(),
        nom::Err::Incomplete(_) => 0,
    };
    DecodeFailure::Malformed {
        at: whole.len().saturating_sub(rest),
    }
}

/// Parses all of a body.
pub(super) fn whole_body<'a, T>(
    body: &'a [u8],
    parse: impl FnOnce(&'a [u8]) -> Parsed<'a, T>,
) -> Result<T, DecodeError> {
    let (rest, value) = parse(body).map_err(|error| malformed(body, error))?;
    if rest.is_empty() {
        Ok(value)
    } else {
        Err(DecodeFailure::Surplus { bytes: rest.len() }.into())
    }
}
