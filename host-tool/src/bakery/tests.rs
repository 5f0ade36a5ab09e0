use super::*;

#[test]
fn names_become_file_names() {
    assert_eq!(
        file_name("k3s", "k3s-v1.32.2+k3s1-arm64.raw"),
        "k3s-v1.32.2+k3s1-arm64.raw"
    );
    for odd in ["", ".hidden", "my image.raw", "a\"b", "a%20b.raw"] {
        assert_eq!(file_name("k3s", odd), "k3s.raw", "{odd}");
    }
}
