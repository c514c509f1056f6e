//! Numbers and addresses as people write them: who writes something else is told what is taken, in words of ours.

use std::{fmt::Display, net::SocketAddr, str::FromStr};

/// A whole number from `least` to `most`.
pub(crate) fn whole<T>(
    least: T,
    most: T,
) -> impl Fn(&str) -> Result<T, String> + Clone + Send + Sync + 'static
where
    T: FromStr + PartialOrd + Display + Clone + Send + Sync + 'static,
{
    move |text| {
        let number = text.parse().ok().filter(|number| (&least..=&most).contains(&number));
        number.ok_or_else(|| format!("a whole number from {least} to {most} is taken"))
    }
}

/// Where to listen.
pub(crate) fn address(text: &str) -> Result<SocketAddr, String> {
    let taken = "an IP address and a port are taken, such as 127.0.0.1:8410 or [::1]:8410";
    text.parse().map_err(|_| taken.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_taken_is_answered_with_what_is() {
        let told = Err("a whole number from 1 to 9 is taken".to_owned());
        for wrong in ["abc", "", "0", "10", "-1", "1.5", "99999999999999999999"] {
            assert_eq!(whole(1_u8, 9)(wrong), told, "{wrong}");
        }
        assert_eq!((whole(1_u8, 9)("1"), whole(1_u8, 9)("9")), (Ok(1), Ok(9)));
        for wrong in ["localhost:1", "127.0.0.1", "8410"] {
            assert!(address(wrong).unwrap_err().contains("such as 127.0.0.1:8410"), "{wrong}");
        }
        assert!(address("[::1]:0").is_ok());
    }
}
