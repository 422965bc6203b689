//! The name of a queue or topic out of what some SDKs give for it: the resource name or the URL by which a cloud's API addresses it. One side of a message
//! says the one and the other side the other, and people say neither.

/// The name within an ARN of AWS, the URL of an SQS queue or the resource path of a Pub/Sub topic, and one name for all inboxes of NATS; anything else
/// as it is.
///
/// Sources: AWS, "Amazon Resource Names" and "Amazon SQS queue and message identifiers"; Google Cloud, "Pub/Sub resource names".
#[inline]
pub(crate) fn short(stated: &[u8]) -> &[u8] {
    match stated {
        [b'a', b'r', b'n', b':', ..] => of_arn(stated),
        [b'h', b't', b't', b'p', ..] => of_queue_url(stated),
        // NATS gives each client a subject of its own for answers.
        [b'_', b'I', b'N', b'B', b'O', b'X', b'.', ..] => Some(&stated[..6]),
        [b'p', b'r', b'o', b'j', b'e', b'c', b't', b's', b'/', ..] => of_project(stated),
        _ => None,
    }
    .filter(|name| !name.is_empty())
    .unwrap_or(stated)
}

/// `arn:aws:sns:region:account:topic`, with the id of a subscription behind it where the ARN is of one; of streams and buses `kind/name`.
#[cold]
fn of_arn(stated: &[u8]) -> Option<&[u8]> {
    stated.split(|b| *b == b':').nth(5)?.rsplit(|b| *b == b'/').next()
}

/// `https://host/account/queue`, the account being twelve digits.
#[cold]
fn of_queue_url(stated: &[u8]) -> Option<&[u8]> {
    let scheme = stated.windows(3).take(8).position(|w| w == b"://")?;
    let mut path = stated[scheme + 3..].split(|b| *b == b'/').skip(1);
    let (account, queue) = (path.next()?, path.next()?);
    (account.len() == 12 && account.iter().all(u8::is_ascii_digit) && path.next().is_none()).then_some(queue)
}

/// `projects/project/topics/topic`.
#[cold]
fn of_project(stated: &[u8]) -> Option<&[u8]> {
    let mut path = stated.split(|b| *b == b'/').skip(2);
    let (kind, name) = (path.next()?, path.next()?);
    (matches!(kind, b"topics" | b"subscriptions") && path.next().is_none()).then_some(name)
}

/// The topic of a subscription of Azure's Service Bus (`<topic>/Subscriptions/<subscription>`), or what is stated.
pub(crate) fn of_subscription(stated: &[u8]) -> &[u8] {
    const BETWEEN: &[u8] = b"/subscriptions/";
    let at = stated.iter().position(|b| *b == b'/').unwrap_or(stated.len());
    let rest = &stated[at..];
    if rest.len() > BETWEEN.len() && rest[..BETWEEN.len()].eq_ignore_ascii_case(BETWEEN) { &stated[..at] } else { stated }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_destination_is_called_by_its_name_however_a_cloud_addresses_it() {
        for (stated, name) in [
            ("orders", "orders"),
            ("arn:aws:sns:eu-west-1:123456789012:orders", "orders"),
            ("arn:aws:sns:eu-west-1:123456789012:orders:8a21d249-4329-4871-acc6-7be709c6ea7f", "orders"),
            ("arn:aws-cn:sqs:cn-north-1:123456789012:orders.fifo", "orders.fifo"),
            ("arn:aws:kinesis:eu-west-1:123456789012:stream/orders", "orders"),
            ("arn:aws:sns", "arn:aws:sns"),
            ("https://sqs.eu-west-1.amazonaws.com/123456789012/orders", "orders"),
            ("http://localhost:4566/000000000000/orders", "orders"),
            ("https://hooks.example.com/orders/created", "https://hooks.example.com/orders/created"),
            ("projects/shop/topics/orders", "orders"),
            ("projects/shop/subscriptions/orders-mail", "orders-mail"),
            ("projects/orders", "projects/orders"),
            ("_INBOX.hWv9zKx2.7", "_INBOX"),
            ("_INBOX", "_INBOX"),
            ("sensors/kitchen/temperature", "sensors/kitchen/temperature"),
            ("+41791234567", "+41791234567"),
        ] {
            assert_eq!(std::str::from_utf8(short(stated.as_bytes())), Ok(name));
        }
        for (stated, topic) in [
            ("orders/Subscriptions/mail", "orders"),
            ("orders/subscriptions/", "orders/subscriptions/"),
            ("eu/orders", "eu/orders"),
            ("orders", "orders"),
        ] {
            assert_eq!(std::str::from_utf8(of_subscription(stated.as_bytes())), Ok(topic));
        }
    }
}
