//! The fuzz target's corpus once more, in every run of the tests.

#[test]
fn image_signatures() {
    ha_test_support::corpus::replay_corpus(
        "image_signature",
        ha_flatcar_image::fuzzing::image_signature,
    );
}
