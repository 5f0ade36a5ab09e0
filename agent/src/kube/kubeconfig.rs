//! kubeconfig files, written as JSON (which is YAML).

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::json;
use zeroize::Zeroizing;

use super::identity::Identity;

/// A kubeconfig with everything embedded: no file beside it is needed.
pub fn render(server: &str, ca: &str, me: &Identity) -> Zeroizing<String> {
    let encode = |text: &str| STANDARD.encode(text);
    file(
        server,
        ca,
        json!({"client-certificate-data": encode(&me.cert), "client-key-data": encode(&me.key)}),
    )
}

/// A kubeconfig that points at a certificate file which somebody renews.
pub fn with_file(server: &str, ca: &str, pem: &str) -> Zeroizing<String> {
    file(
        server,
        ca,
        json!({"client-certificate": pem, "client-key": pem}),
    )
}

fn file(server: &str, ca: &str, user: serde_json::Value) -> Zeroizing<String> {
    let whole = json!({
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "kubernetes", "cluster": {
            "server": server,
            "certificate-authority-data": STANDARD.encode(ca),
        }}],
        "users": [{"name": "node", "user": user}],
        "contexts": [{"name": "node", "context": {"cluster": "kubernetes", "user": "node"}}],
        "current-context": "node",
    });
    Zeroizing::new(format!("{whole:#}\n"))
}
