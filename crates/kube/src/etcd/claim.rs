//! One key that says whose the objects in an etcd are: written in the one transaction that finds neither it nor any of them.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;
use serde_json::{Value, json};

use super::Etcd;
use crate::error::ApiError;

/// Whose the keys below a prefix are to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claim {
    /// The key that says so; not below the prefix.
    pub key: String,
    /// Who.
    pub owner: String,
    /// What every object's key begins with, e.g. `/registry/`.
    pub prefix: String,
}

/// What became of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Claimed {
    /// Nothing was there, and now the owner's name is.
    Now,
    /// Something was there.
    Before {
        /// Who claimed it; none: nobody.
        owner: Option<String>,
        /// How many keys are below the prefix.
        keys: u64,
    },
}

#[derive(Deserialize)]
struct Answer {
    #[serde(default)]
    succeeded: bool,
    #[serde(default)]
    responses: Vec<TxnResponse>,
}

#[derive(Deserialize)]
struct TxnResponse {
    #[serde(default, alias = "responseRange")]
    response_range: Range,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Range {
    kvs: Vec<Pair>,
    /// A decimal string; nought is left out.
    count: String,
}

#[derive(Deserialize)]
struct Pair {
    #[serde(default)]
    value: String,
}

impl Etcd {
    /// Claims what is below a prefix, unless something is there.
    pub async fn claim(&self, claim: &Claim) -> Result<Claimed, ApiError> {
        let answer: Answer = self.ask("/v3/kv/txn", &transaction_of(claim)).await?;
        if answer.succeeded {
            return Ok(Claimed::Now);
        }
        let mut ranges = answer.responses.into_iter().map(|part| part.response_range);
        let (of_key, of_prefix) = (ranges.next().unwrap_or_default(), ranges.next());
        let owner = of_key.kvs.into_iter().next();
        Ok(Claimed::Before {
            owner: owner.map(|pair| decode_base64_lossily(&pair.value)),
            keys: of_prefix.map_or(0, |range| range.count.parse().unwrap_or(0)),
        })
    }
}

/// A key that was never written has been created at revision 0; of an empty range that is true, too.
fn transaction_of(claim: &Claim) -> Value {
    let encode = |bytes: &[u8]| STANDARD.encode(bytes);
    let (key, prefix) = (
        encode(claim.key.as_bytes()),
        encode(claim.prefix.as_bytes()),
    );
    let end = encode(&end_of(claim.prefix.as_bytes()));
    json!({
        "compare": [
            {"target": "CREATE", "result": "EQUAL", "create_revision": "0", "key": key},
            {"target": "CREATE", "result": "EQUAL", "create_revision": "0", "key": prefix, "range_end": end},
        ],
        "success": [{"request_put": {"key": key, "value": encode(claim.owner.as_bytes())}}],
        "failure": [
            {"request_range": {"key": key}},
            {"request_range": {"key": prefix, "range_end": end, "count_only": true}},
        ],
    })
}

/// The first key behind all that begin so.
fn end_of(prefix: &[u8]) -> Vec<u8> {
    let mut end = prefix.to_vec();
    while let Some(last) = end.pop() {
        if last < u8::MAX {
            end.push(last + 1);
            break;
        }
    }
    end
}

fn decode_base64_lossily(text: &str) -> String {
    let bytes = STANDARD.decode(text).unwrap_or_default();
    String::from_utf8_lossy(&bytes).into_owned()
}

/// What etcd answers when something is there. Tests only.
#[cfg(feature = "testing")]
pub fn answer_before(owner: Option<&str>, keys: u64) -> String {
    let pair = |owner: &str| json!({"value": STANDARD.encode(owner)});
    let kvs: Vec<Value> = owner.map(pair).into_iter().collect();
    let (of_key, of_prefix) = (json!({"kvs": kvs}), json!({"count": keys.to_string()}));
    json!({"responses": [{"response_range": of_key}, {"response_range": of_prefix}]}).to_string()
}
