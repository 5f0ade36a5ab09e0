use super::*;

#[test]
fn the_last_look_is_the_error() {
    let mut looks = 0;
    let error = wait_until("a thing", Duration::ZERO, || -> Result<()> {
        looks += 1;
        anyhow::bail!("look {looks}")
    });
    assert_eq!(
        format!("{:#}", error.unwrap_err()),
        "not within 0ns: a thing; last seen: look 1"
    );
}
