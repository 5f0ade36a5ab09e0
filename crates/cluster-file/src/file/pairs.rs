//! What a dual-stack cluster has two of: one value, or a list of two.

use super::reader::Fields;
use super::scalars::Scalar;
use super::spanned::Spanned;
use crate::diagnostic::{Fault, Place};
use crate::yaml::{YamlNode, join_path};

/// A value of the VIP's family, and the other family's in a dual-stack cluster.
pub(super) type Pair<T> = (Option<Spanned<T>>, Option<Spanned<T>>);

impl Fields<'_> {
    /// A pair that may be left out.
    pub fn pair<T: Scalar>(&mut self, key: &str) -> Pair<T> {
        if !self.is_list(key) {
            return (self.maybe(key), None);
        }
        let place = self.key_place(key).unwrap_or(Place::START);
        let items = self.items(key).unwrap_or_default();
        if let [first, second] = &items[..] {
            let mut value =
                |(path, item): &(String, YamlNode)| self.item_scalar(path.clone(), item.clone());
            let first = value(first).map(|first| Spanned {
                paired: true,
                ..first
            });
            return (first, value(second));
        }
        let path = join_path(&self.path, key);
        let message = format!(
            "{path} is a list of {}: a pair is one of IPv4 and one of IPv6",
            items.len()
        );
        let help = "write one value, or two for a dual-stack cluster, the VIP's family first";
        self.fault(Fault::error(place, &path, message, help));
        (None, None)
    }

    /// A pair that has to be there, like `example`.
    pub fn needed_pair<T: Scalar>(&mut self, key: &str, example: &str) -> Pair<T> {
        match self.is_written(key) {
            true => self.pair(key),
            false => (self.needed(key, example), None),
        }
    }

    /// A pair with a default.
    pub fn pair_or<T: Scalar>(
        &mut self,
        key: &str,
        first: Option<T>,
        second: Option<T>,
    ) -> Pair<T> {
        if self.is_written(key) {
            return self.pair(key);
        }
        (
            first.and_then(|value| self.default(key, value)),
            second.and_then(|value| self.default(key, value)),
        )
    }
}
