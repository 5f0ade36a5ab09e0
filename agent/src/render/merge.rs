//! The user's own settings laid over ours.

use serde_json::{Map, Value};

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
        (into, Value::Object(_)) => {
            // What takes a key away takes nothing from what was not there, and is no value.
            *into = Value::Object(Map::new());
            merge_settings(into, from);
        }
        (into, from) => *into = from.clone(),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    #[test]
    fn each_kind_of_value() {
        let mut ours = json!({"a": {"x": 1, "y": 2}, "list": [1, 2], "gone": true, "kept": "k"});
        merge_settings(
            &mut ours,
            &json!({"a": {"y": 3, "z": 4}, "list": [9], "gone": null, "new": {"n": 1, "none": null}}),
        );
        assert_eq!(
            ours,
            json!({"a": {"x": 1, "y": 3, "z": 4}, "list": [9], "kept": "k", "new": {"n": 1}})
        );
    }

    /// Settings of a few keys, two levels deep.
    fn settings_strategy() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            (0..3_i64).prop_map(Value::from),
            Just(json!([1])),
        ];
        let object = |inner| prop::collection::btree_map("[abc]", inner, 0..4);
        let inner = object(leaf.clone().boxed()).prop_map(|map| json!(map));
        object(prop_oneof![leaf, inner].boxed()).prop_map(|map| json!(map))
    }

    /// Every value that is no object, by its path.
    fn collect_leaves(value: &Value, path: &str, into: &mut BTreeMap<String, Value>) {
        match value {
            Value::Object(map) => {
                for (key, value) in map {
                    collect_leaves(value, &format!("{path}/{key}"), into);
                }
            }
            other => _ = into.insert(path.to_owned(), other.clone()),
        }
    }

    fn leaves_of(value: &Value) -> BTreeMap<String, Value> {
        let mut all = BTreeMap::new();
        collect_leaves(value, "", &mut all);
        all
    }

    proptest! {
        #[test]
        fn the_users_word_is_last_and_ours_stays_where_they_say_nothing(ours in settings_strategy(), users in settings_strategy()) {
            let mut both = ours.clone();
            merge_settings(&mut both, &users);
            for (path, value) in leaves_of(&users) {
                let wanted = (!value.is_null()).then_some(&value);
                prop_assert_eq!(both.pointer(&path), wanted, "{}", path);
            }
            for (path, value) in leaves_of(&ours) {
                // The user spoke of it, of what it is in, or of what would be in it.
                let spoken_of = users.pointer(&path).is_some()
                    || leaves_of(&users).keys().any(|said| path.starts_with(&format!("{said}/")));
                if !spoken_of {
                    prop_assert_eq!(both.pointer(&path), Some(&value), "{}", path);
                }
            }
            let once = both.clone();
            merge_settings(&mut both, &users);
            prop_assert_eq!(both, once, "said twice is said once");
        }
    }
}
