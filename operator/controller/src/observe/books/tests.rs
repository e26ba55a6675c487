//! One asks for all, and nobody gets an answer from before it asked where that matters.

use super::*;
use futures::future::join_all;
use gowindows_crds::conditions::Reason;
use gowindows_model::access::{Access, Repository};
use gowindows_model::wire::source::Reference;
use std::cell::Cell;
use windows_image::verify::Author;

fn source(secret: Option<&str>) -> Question {
    let (url, reference) = ("https://git.example.com/shop.git".into(), Reference::Head);
    Question::Source { url, reference, secret: secret.map(str::to_owned) }
}

fn object(name: &str) -> ObjectRef<Guarded> {
    ObjectRef::new(name).within("team")
}

/// A server whose answer changes, and that counts how often it is asked.
struct Server {
    book: Book<u32>,
    asked: Cell<u32>,
    answer: Cell<Option<u32>>,
}

impl Server {
    fn new() -> Self {
        Self { book: Book::default(), asked: Cell::new(0), answer: Cell::new(Some(7)) }
    }

    async fn ask(&self, page: &Page, mine: &Seen<u32>, second: i64) -> Seen<u32> {
        self.told(page, mine, second).await.0
    }

    async fn told(&self, page: &Page, mine: &Seen<u32>, second: i64) -> (Seen<u32>, Vec<ObjectRef<Guarded>>) {
        let call = async {
            self.asked.set(self.asked.get() + 1);
            tokio::time::sleep(Duration::from_millis(50)).await;
            self.answer.get().ok_or_else(|| CallError { reason: Reason::Timeout, message: "it hangs".into() })
        };
        self.book.ask(page, mine, Timestamp::from_second(second).expect("in range"), call).await
    }
}

#[tokio::test(start_paused = true)]
async fn one_asks_for_all_who_follow_the_same() {
    let (server, page) = (Server::new(), Page::new("team", source(None)));
    let of_other_namespace = Page::new("other", source(None));
    assert_eq!(page, of_other_namespace, "what needs no credential is the same for everybody");
    assert!(Page::new("team", source(Some("git"))) != Page::new("other", source(Some("git"))), "Secrets of one name are two");
    let all = join_all((0..100).map(|_| server.ask(&page, &Seen::NotAsked, 1))).await;
    assert!(all.iter().all(|seen| seen.value() == Some(&7)) && server.asked.get() == 1, "{}", server.asked.get());
    // Whoever knows that answer wants a newer one, and so does whoever comes later.
    server.answer.set(Some(8));
    let known = server.book.seen(&page);
    assert_eq!(server.ask(&page, &known, 2).await.value(), Some(&8));
    tokio::time::advance(Duration::from_secs(5)).await;
    server.answer.set(Some(9));
    assert_eq!(server.ask(&page, &Seen::NotAsked, 7).await.value(), Some(&9), "a commit from before the object is not built");
    assert_eq!(server.asked.get(), 3);
}

#[tokio::test(start_paused = true)]
async fn a_failure_is_an_answer_for_all_who_waited_for_it() {
    let (server, page) = (Server::new(), Page::new("team", source(None)));
    assert_eq!(server.ask(&page, &Seen::NotAsked, 1).await.value(), Some(&7));
    tokio::time::advance(Duration::from_secs(60)).await;
    server.answer.set(None);
    let known = server.book.seen(&page);
    let all = join_all((0..100).map(|_| server.ask(&page, &known, 61))).await;
    let told = |seen: &Seen<u32>| (seen.value().copied(), seen.trouble().map(|trouble| trouble.times));
    assert!(all.iter().all(|seen| told(seen) == (Some(7), Some(1))), "{all:?}");
    assert_eq!(server.asked.get(), 2);
}

#[tokio::test(start_paused = true)]
async fn what_a_registry_serves_is_never_taken_from_a_question_before() {
    let server = Server::new();
    let published = |name: &str| {
        let repository = Repository { name: name.into(), access: Access::Anonymous };
        Page::new("team", Question::Published { repository, tag: "gw-1".into(), author: Author::Us })
    };
    let page = published("r.example.com/a");
    assert_eq!(server.ask(&page, &Seen::NotAsked, 1).await.value(), Some(&7));
    let other = async {
        tokio::time::sleep(Duration::from_millis(10)).await;
        server.answer.set(Some(8));
        server.ask(&page, &Seen::NotAsked, 2).await
    };
    let (first, second) = tokio::join!(server.ask(&page, &Seen::NotAsked, 2), other);
    assert_eq!((first.value(), second.value(), server.asked.get()), (Some(&8), Some(&8), 3), "that question was put before");
    assert_eq!(server.book.seen(&published("r.example.com/b")), Seen::NotAsked, "nor is that of another repository");
}

#[tokio::test(start_paused = true)]
async fn many_who_fail_wait_no_longer_than_one_and_learn_that_it_is_over() {
    let (server, page) = (Server::new(), Page::new("team", source(None)));
    server.book.follow(&page, "a", &object("a"));
    server.answer.set(None);
    let times = |seen: Seen<u32>| seen.trouble().map(|trouble| trouble.times);
    for (second, expected) in [(1, 1), (2, 1), (9, 1), (19, 2), (25, 2), (38, 2), (58, 3), (90, 3), (130, 4)] {
        tokio::time::advance(Duration::from_secs(1)).await;
        let known = server.book.seen(&page);
        assert_eq!(times(server.ask(&page, &known, second).await), Some(expected), "at {second} s");
    }
    let again = server.ask(&page, &Seen::NotAsked, 131).await;
    assert!(server.asked.get() == 10 && times(again).is_some(), "nor is a failure handed on to who has not asked");
    server.answer.set(Some(7));
    let known = server.book.seen(&page);
    tokio::time::advance(Duration::from_secs(1)).await;
    assert_eq!(server.told(&page, &known, 132).await.1, [object("a")], "it is over");
}

#[tokio::test(start_paused = true)]
async fn who_follows_a_source_is_told_that_it_moved() {
    let (server, page) = (Server::new(), Page::new("team", source(None)));
    for name in ["a", "b"] {
        server.book.follow(&page, name, &object(name));
    }
    assert_eq!(server.told(&page, &Seen::NotAsked, 1).await.1, [], "the first answer is no news");
    let known = server.book.seen(&page);
    assert_eq!(server.told(&page, &known, 60).await.1, [], "nor is the same one");
    server.answer.set(Some(8));
    let known = server.book.seen(&page);
    assert_eq!(server.told(&page, &known, 120).await.1, [object("a"), object("b")]);
    server.book.leave(&page, "a");
    assert_eq!(server.book.seen(&page).value(), Some(&8), "somebody follows it still");
    server.book.leave(&page, "b");
    assert_eq!(server.book.seen(&page), Seen::NotAsked, "what nobody follows is not kept");
    assert!(server.book.pages().is_empty());
}
