use std::io::{Read, Write};
use std::net::TcpListener;

use ha_test_support::{DEMO, parse_cluster};

use super::cache::{Kind, SYSEXTS};
use super::*;
use crate::progress::pull::SilentBar;
use crate::state::StateRoot;
use crate::testing::serve_files;

fn release_files(name: &str, image: &[u8]) -> Vec<(String, Vec<u8>)> {
    use ha_host_base::text::hex_digits;
    use sha2::{Digest, Sha256};
    let hash = hex_digits(&Sha256::digest(image));
    let file = |arch: Arch| format!("{name}-{arch}.raw");
    let (x86, arm) = (file(Arch::X86_64), file(Arch::Arm64));
    let sums = format!("{hash}  {x86}\n{hash}  {arm}\n");
    vec![
        (format!("{name}/SHA256SUMS"), sums.into_bytes()),
        (format!("{name}/{x86}"), image.to_vec()),
        (format!("{name}/{arm}"), image.to_vec()),
    ]
}

fn cluster_with(sysexts: &str) -> Cluster {
    let text = format!("{DEMO}provider: {{qemu: {{arch: x86-64}}}}\nsysexts: {{{sysexts}}}\n");
    parse_cluster(&text, Path::new("/"))
}

fn is_bad_input(error: &anyhow::Error) -> bool {
    matches!(error.downcast_ref(), Some(Stop::BadInput(_)))
}

#[test]
fn the_bakery_is_asked_once_for_all_launches() {
    let (base, asked) = serve_files(release_files("haproxy-3.2.5", b"image"));
    let cluster = cluster_with("haproxy: {version: 3.2.5}");
    let dir = tempfile::tempdir().unwrap();
    let store = StateRoot::new(Some(dir.path()))
        .unwrap()
        .dir("demo")
        .lock()
        .unwrap();
    let mut known = KnownReleases::read(store.path()).unwrap();
    let first = resolve_by(&cluster, &mut known, Some(&base)).unwrap();
    let haproxy = &first["haproxy"];
    assert_eq!(haproxy.file, "haproxy-3.2.5-x86-64.raw");
    let SysextSource::Url { url, sha256 } = &haproxy.source else {
        panic!("{haproxy:?}")
    };
    assert_eq!(
        *url,
        format!("{base}/haproxy-3.2.5/haproxy-3.2.5-x86-64.raw")
    );
    assert_eq!(sha256.len(), 64);
    assert_eq!(
        *asked.lock().unwrap(),
        ["/extensions/haproxy-3.2.5/SHA256SUMS"]
    );
    known.keep(store.path()).unwrap();
    // Without the mirror, too, and without any way to the bakery.
    let mut known = KnownReleases::read(store.path()).unwrap();
    assert_eq!(resolve_by(&cluster, &mut known, None).unwrap(), first);
    // Another mirror is another place for the same image.
    let there = resolve_by(&cluster, &mut known, Some("http://127.0.0.1:1/there")).unwrap();
    let url = "http://127.0.0.1:1/there/haproxy-3.2.5/haproxy-3.2.5-x86-64.raw".to_owned();
    let sha256 = sha256.clone();
    assert_eq!(there["haproxy"].source, SysextSource::Url { url, sha256 });
    assert_eq!(asked.lock().unwrap().len(), 1);
}

#[test]
fn what_the_bakery_lacks_is_one_message() {
    let mut files = release_files("crio-v1.36.2", b"image");
    files[0].1 = b"<html>moved</html>".to_vec();
    let (base, _) = serve_files(files);
    let ask = |sysexts: &str| {
        resolve_by(
            &cluster_with(sysexts),
            &mut KnownReleases::default(),
            Some(&base),
        )
        .unwrap_err()
    };
    let error = ask("keepalived: {version: v9.9.9}");
    assert!(is_bad_input(&error));
    let text = error.to_string();
    for word in [
        "sysexts.keepalived: ",
        "has no keepalived-v9.9.9",
        "answers 404",
        "{version: V}",
    ] {
        assert!(text.contains(word), "{text}");
    }
    let error = ask("crio: {version: v1.36.2}");
    assert!(is_bad_input(&error), "{error}");
    assert!(
        error
            .to_string()
            .contains("names no crio-v1.36.2-x86-64.raw"),
        "{error}"
    );
}

#[test]
fn no_way_to_the_bakery_is_one_message_with_the_remedy() {
    // A port that was free a moment ago.
    let at = TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap();
    let base = format!("http://{at}/extensions");
    let cluster = cluster_with("haproxy: {version: 3.2.5}");
    let error = resolve_by(&cluster, &mut KnownReleases::default(), Some(&base)).unwrap_err();
    assert!(!is_bad_input(&error));
    let text = error.to_string();
    for word in [
        "sysexts.haproxy: cannot fetch http://",
        "refused",
        "{path: FILE.raw}",
        "HA_HOST_BAKERY=URL",
    ] {
        assert!(text.contains(word), "{text}");
    }
}

#[test]
fn images_are_fetched_once_and_kept_only_as_their_hash_says() {
    let image = vec![3; 200_000];
    let (base, asked) = serve_files(release_files("haproxy-3.2.5", &image));
    let url = format!("{base}/haproxy-3.2.5/haproxy-3.2.5-x86-64.raw");
    let dir = tempfile::tempdir().unwrap();
    let cache = cache::Cache::at(dir.path().join("sysexts"), SYSEXTS);
    let wrong = "0".repeat(64);
    let error = cache
        .get(&url, &wrong, "x.raw", &mut SilentBar)
        .unwrap_err()
        .to_string();
    assert!(
        error.contains("nothing was kept") && error.contains(&wrong),
        "{error}"
    );
    assert_eq!(
        std::fs::read_dir(dir.path().join("sysexts").join(&wrong))
            .unwrap()
            .count(),
        0
    );
    let source = dir.path().join("source");
    std::fs::write(&source, &image).unwrap();
    let sha256 = cache::sha256_of_file(&source).unwrap();
    let path = cache.get(&url, &sha256, "x.raw", &mut SilentBar).unwrap();
    assert_eq!(path, dir.path().join("sysexts").join(&sha256).join("x.raw"));
    let before = asked.lock().unwrap().len();
    assert_eq!(
        cache.get(&url, &sha256, "x.raw", &mut SilentBar).unwrap(),
        path
    );
    assert_eq!(asked.lock().unwrap().len(), before);
    // A disk that forgets: fetched anew.
    std::fs::write(&path, "rotten").unwrap();
    cache.get(&url, &sha256, "x.raw", &mut SilentBar).unwrap();
    assert_eq!(std::fs::read(&path).unwrap(), image);
    let error = cache
        .get(&format!("{base}/gone.raw"), &wrong, "x.raw", &mut SilentBar)
        .unwrap_err();
    assert!(error.to_string().contains("it answers 404"), "{error}");
}

/// Tells by a channel that its holder has come to wait, or to anything else that is noted.
struct TellingBar(std::sync::mpsc::Sender<String>);

impl ha_flatcar_image::Bar for TellingBar {
    fn begin(&mut self, _: ha_flatcar_image::Step, _: Option<u64>) {}
    fn at(&mut self, _: u64) {}
    fn end(&mut self) {}
    fn note(&mut self, text: &str) {
        // Nobody listens any more: the test is over.
        let _ = self.0.send(text.to_owned());
    }
}

#[test]
fn two_ha_hosts_at_once_fetch_one_image() {
    use ha_host_base::text::hex_digits;
    use sha2::{Digest, Sha256};
    let image = vec![5; 100_000];
    let sha256 = hex_digits(&Sha256::digest(&image));
    let dir = tempfile::tempdir().unwrap();
    let cache = cache::Cache::at(dir.path().join("sysexts"), SYSEXTS);
    // The first answer stops in the middle, until it is told to go on.
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/x.raw", listener.local_addr().unwrap());
    let (in_the_middle, first_has_half) = std::sync::mpsc::channel();
    let (go_on, may_go_on) = std::sync::mpsc::channel::<()>();
    let body = image.clone();
    std::thread::spawn(move || {
        for (n, stream) in listener.incoming().enumerate() {
            let mut stream = stream.unwrap();
            let _ = stream.read(&mut [0; 4096]).unwrap();
            let head = format!(
                "HTTP/1.1 200 OK\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
                body.len()
            );
            let half = body.len() / 2;
            let (first_half, rest) = (body[..half].to_vec(), body[half..].to_vec());
            stream.write_all(head.as_bytes()).unwrap();
            stream.write_all(&first_half).unwrap();
            if n > 0 {
                stream.write_all(&rest).unwrap();
                continue;
            }
            in_the_middle.send(()).unwrap();
            may_go_on.recv().unwrap();
            stream.write_all(&rest).unwrap();
        }
    });
    let get = |bar: &mut dyn ha_flatcar_image::Bar| cache.get(&url, &sha256, "x.raw", bar);
    std::thread::scope(|scope| {
        let first = scope.spawn(|| get(&mut SilentBar));
        first_has_half.recv().unwrap();
        // The second has looked at what the first left half when it says its first word.
        let (tell, told) = std::sync::mpsc::channel();
        let second = scope.spawn(move || get(&mut TellingBar(tell)));
        let word = told.recv().unwrap();
        go_on.send(()).unwrap();
        let first = first.join().unwrap().unwrap();
        assert_eq!(second.join().unwrap().unwrap(), first, "{word}");
        assert!(word.contains("waiting"), "{word}");
    });
    let names: Vec<_> = std::fs::read_dir(dir.path().join("sysexts").join(&sha256))
        .unwrap()
        .collect();
    assert_eq!(names.len(), 1, "{names:?}");
}

#[test]
fn more_than_an_image_can_have_is_not_fetched() {
    let image = vec![3; 200_000];
    let (base, _) = serve_files(release_files("haproxy-3.2.5", &image));
    // As the server above, but without a length.
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let endless = format!("http://{}/x.raw", listener.local_addr().unwrap());
    std::thread::spawn(move || {
        let mut stream = listener.accept().unwrap().0;
        let _ = stream.read(&mut [0; 4096]).unwrap();
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n");
        while stream.write_all(&[0; 4096]).is_ok() {}
    });
    let dir = tempfile::tempdir().unwrap();
    let cache = {
        let most = 100_000;
        cache::Cache::at(dir.path().join("sysexts"), Kind { most, ..SYSEXTS })
    };
    let hash = "0".repeat(64);
    for url in [
        format!("{base}/haproxy-3.2.5/haproxy-3.2.5-x86-64.raw"),
        endless,
    ] {
        let error = cache.get(&url, &hash, "x.raw", &mut SilentBar).unwrap_err();
        let told = error.to_string();
        assert!(
            told.contains("more than 97.66 KiB: this is something else"),
            "{told}"
        );
        let left = std::fs::read_dir(dir.path().join("sysexts").join(&hash)).unwrap();
        assert_eq!(left.count(), 0);
    }
}

#[test]
fn files_for_other_machines_are_bad_input() {
    let dir = tempfile::tempdir().unwrap();
    for file in ["haproxy-3.2.5-arm64.raw", "haproxy.raw", "a"] {
        std::fs::write(dir.path().join(file), "image").unwrap();
    }
    let resolve = |provider: &str, sysexts: &str| {
        let text = format!("{DEMO}provider: {provider}\nsysexts: {{{sysexts}}}\n");
        resolve_by(
            &parse_cluster(&text, dir.path()),
            &mut KnownReleases::default(),
            None,
        )
    };
    let arm = "haproxy: {path: haproxy-3.2.5-arm64.raw}";
    let error = resolve("{qemu: {arch: x86-64}}", arm).unwrap_err();
    assert!(is_bad_input(&error));
    assert!(
        error
            .to_string()
            .contains("is for arm64, and the nodes are x86-64"),
        "{error}"
    );
    assert!(resolve("{qemu: {arch: arm64}}", arm).is_ok());
    assert!(
        resolve("none", arm).is_ok(),
        "nobody here knows those machines"
    );
    let error = resolve("qemu\nassets: download", "haproxy: {path: haproxy.raw}").unwrap_err();
    assert!(
        is_bad_input(&error) && error.to_string().contains("write `assets: disk`"),
        "{error}"
    );
    let error = resolve("qemu", "one: {path: a}, two: {path: a}").unwrap_err();
    assert!(
        is_bad_input(&error) && error.to_string().contains("as that of sysexts.one"),
        "{error}"
    );
}

#[test]
fn what_is_remembered_is_read_strictly() {
    let dir = tempfile::tempdir().unwrap();
    for (text, word) in [
        ("{", "cannot be understood"),
        (r#"{"version":9,"sysexts":[]}"#, "version 9 is not known"),
        // Whoever moves it away loses what a newer ha-host has learnt.
        (
            r#"{"version":2,"sysexts":[],"mirrors":[]}"#,
            "sysexts.json cannot be understood: version 2 is not known",
        ),
    ] {
        std::fs::write(dir.path().join("sysexts.json"), text).unwrap();
        let error = KnownReleases::read(dir.path()).unwrap_err();
        assert!(format!("{error:#}").contains(word), "{error:#}");
    }
}

#[test]
fn names_become_file_names() {
    assert_eq!(
        image_file_name("k3s", "k3s-v1.32.2+k3s1-arm64.raw"),
        "k3s-v1.32.2+k3s1-arm64.raw"
    );
    for odd in ["", ".hidden", "my image.raw", "a\"b", "a%20b.raw"] {
        assert_eq!(image_file_name("k3s", odd), "k3s.raw", "{odd}");
    }
}
