//! The user's own settings laid over ours.

use serde_json::Value;

/// Objects are merged key by key, `null` takes a key away, anything else replaces.
pub fn merge_settings(into: &mut Value, from: &Value) {
    match (into, from) {
        (Value::Object(into), Value::Object(from)) => {
            for (key, value) in from {
                if value.is_null() {
                    into.remove(key);
                } else {
                    merge_settings(into.entry(key.clone()).or_insert(Value::Null), value);
                }
            }
        }
        (into, from) => *into = from.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn each_kind_of_value() {
        let mut ours = json!({"a": {"x": 1, "y": 2}, "list": [1, 2], "gone": true, "kept": "k"});
        merge_settings(
            &mut ours,
            &json!({"a": {"y": 3, "z": 4}, "list": [9], "gone": null, "new": {"n": 1}}),
        );
        assert_eq!(
            ours,
            json!({"a": {"x": 1, "y": 3, "z": 4}, "list": [9], "kept": "k", "new": {"n": 1}})
        );
    }
}
