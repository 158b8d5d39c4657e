//! Is it the sink, or are it these events? And what a sink that fails is spared.

use super::*;

/// Nothing waits any more; so many events are letters.
async fn all_decided(scene: &Scene) -> u64 {
    eventually("every event to be decided", async || {
        (scene.store.usage().await.unwrap().sinks[0].events_waiting == 0).then_some(())
    })
    .await;
    scene.store.count_on(Shelf::DeadLetters, &Pick::default()).await.unwrap()
}

#[tokio::test]
async fn refused_neighbours_do_not_halt_a_sink_that_takes_the_rest_of_the_load() {
    for from in [0, 200, 380] {
        let mut scene = Scene::new().await;
        let mut all = lines("good", 400);
        all[from..from + 20].iter_mut().for_each(|line| *line = line.replace("good", "bad"));
        scene.commit("audit", &all).await;
        let (receiver, sink) = Receiver::start().await;
        receiver.hate("bad", 400);
        let courier = scene.courier(sink).await;
        assert_eq!(all_decided(&scene).await, 20, "from {from}");
        let mut got = receiver.got.lock().unwrap().clone();
        got.sort();
        all.retain(|line| line.contains("good"));
        all.sort();
        assert_eq!(got, all, "each once, from {from}");
        courier.end().await;
        assert_balanced(&scene.store).await;
    }
}

#[tokio::test]
async fn a_load_that_is_refused_whole_does_not_halt_a_sink_that_takes_others() {
    let mut scene = Scene::new().await;
    scene.commit("audit", &lines("bad", 20)).await;
    scene.commit("dlp", &lines("good", 20)).await;
    let (receiver, sink) =
        Receiver::asked_by(|plan| HttpPlan { concurrency: 2, batch_events: 20, ..plan }, None).await;
    receiver.hate("bad", 400);
    let courier = scene.courier(sink).await;
    assert_eq!(all_decided(&scene).await, 20);
    assert_eq!(receiver.got.lock().unwrap().len(), 20);
    courier.end().await;
    assert_balanced(&scene.store).await;
}

/// Nothing else is under way that could vouch for the sink: what comes next does, however late.
#[tokio::test]
async fn a_load_that_is_refused_whole_waits_for_the_next_events_to_be_judged() {
    let mut scene = Scene::new().await;
    let (receiver, sink) = Receiver::start().await;
    receiver.hate("bad", 400);
    let bad = lines("bad", REFUSED_IN_A_ROW + 4);
    scene.commit("audit", &bad).await;
    let courier = scene.courier(sink).await;
    eventually("the sink to be called wrong", async || {
        (courier.state.borrow().up == Some(false)).then_some(())
    })
    .await;
    scene.commit("dlp", &lines("good", 3)).await;
    receiver.has("{\"good\":2}").await;
    assert_eq!(all_decided(&scene).await, bad.len() as u64);
    assert_eq!(receiver.got.lock().unwrap().len(), 3, "each once");
    courier.end().await;
    assert_balanced(&scene.store).await;
}

/// Somebody mends the sink while it is being asked again: what it refused a moment before is no letter for it.
#[tokio::test]
async fn what_a_sink_refused_while_it_was_wrong_is_tried_once_more_when_it_works() {
    let mut scene = Scene::new().await;
    let all = lines("n", 20);
    scene.commit("audit", &all).await;
    let (receiver, sink) = Receiver::start().await;
    receiver.hate("{", 400);
    let courier = scene.courier(sink).await;
    eventually("the sink to be called wrong", async || {
        (courier.state.borrow().up == Some(false)).then_some(())
    })
    .await;
    *receiver.mended_after.lock().unwrap() = Some(4);
    courier.wake.send_modify(|n| *n += 1);
    assert_eq!(all_decided(&scene).await, 0, "letters");
    let (mut got, mut all) = (receiver.got.lock().unwrap().clone(), all);
    got.sort();
    all.sort();
    assert_eq!(got, all, "each once");
    courier.end().await;
    assert_balanced(&scene.store).await;
}

/// Every half of the load that is left holds one that the receiver hates: single events tell.
#[tokio::test]
async fn a_receiver_that_judges_whole_batches_is_asked_about_single_events() {
    let mut scene = Scene::new().await;
    let mut all = lines("good", 400);
    let bad = |n: usize| n < REFUSED_IN_A_ROW * 2 || n.is_multiple_of(10);
    let hated = (0..400).filter(|n| bad(*n)).count();
    all.iter_mut()
        .enumerate()
        .filter(|(n, _)| bad(*n))
        .for_each(|(_, line)| *line = line.replace("good", "bad"));
    scene.commit("audit", &all).await;
    let (receiver, sink) = Receiver::start().await;
    receiver.hate("bad", 400);
    let courier = scene.courier(sink).await;
    assert_eq!(all_decided(&scene).await, hated as u64);
    assert_eq!(receiver.got.lock().unwrap().len(), 400 - hated, "each once");
    courier.end().await;
    assert_balanced(&scene.store).await;
}

/// One event in a quiet hour is a dead letter at once. One in each of many quiet hours, and nothing taken in between, is the
/// sink's fault, although it is started anew for every one of them.
#[tokio::test]
async fn a_sink_that_refuses_single_events_start_after_start_is_halted() {
    let mut scene = Scene::new().await;
    let (receiver, _) = Receiver::start().await;
    receiver.hate("{", 422);
    let refused = || receiver.refused.lock().unwrap().len();
    for n in 0..REFUSED_IN_A_ROW + 3 {
        scene.commit("audit", &lines(&format!("n{n}"), 1)).await;
        let seen = refused();
        let courier = scene.courier(receiver.sink(|plan| plan)).await;
        eventually("an answer", async || (refused() > seen).then_some(())).await;
        courier.end().await;
    }
    let letters = scene.store.count_on(Shelf::DeadLetters, &Pick::default()).await.unwrap();
    assert_eq!(letters as usize, REFUSED_IN_A_ROW - 1, "the rest waits");

    // it is mended: what waits is delivered, and a single event that it refuses is a letter again
    *receiver.hates.lock().unwrap() = None;
    let courier = scene.courier(receiver.sink(|plan| plan)).await;
    assert_eq!(all_decided(&scene).await, letters);
    receiver.hate("bad", 400);
    scene.commit("dlp", &lines("bad", 1)).await;
    assert_eq!(all_decided(&scene).await, letters + 1);
    courier.end().await;
    assert_balanced(&scene.store).await;
}

/// A sink that failed is asked with one request, however many it may have at once, until it answers well.
#[tokio::test]
async fn a_sink_that_failed_gets_one_request_until_it_answers() {
    let mut scene = Scene::new().await;
    scene.commit("audit", &lines("n", 40)).await;
    let four = |plan| HttpPlan { concurrency: 4, batch_events: 10, ..plan };
    let (receiver, sink) = Receiver::asked_by(four, None).await;
    receiver.hate("{", 503);
    let courier = scene.courier(sink).await;
    let refused = eventually("some attempts", async || {
        courier.wake.send_modify(|n| *n += 1);
        Some(receiver.refused.lock().unwrap().clone()).filter(|refused| refused.len() >= 9)
    })
    .await;
    let first = |body: &&String| body.starts_with("{\"n\":0}");
    assert_eq!(refused[..4].iter().filter(first).count(), 1, "four at first");
    assert_eq!(refused[4..].iter().filter(first).count(), refused.len() - 4, "then always the same one");
    *receiver.hates.lock().unwrap() = None;
    courier.wake.send_modify(|n| *n += 1);
    assert_eq!(all_decided(&scene).await, 0);
    assert_eq!(receiver.got.lock().unwrap().len(), 40, "each once");
    courier.end().await;
    assert_balanced(&scene.store).await;
}

/// The last words of a sink are not those of a store that cannot book what the sink takes again.
#[tokio::test]
async fn what_holds_delivery_up_now_is_what_is_told() {
    let mut scene = Scene::new().await;
    scene.commit("audit", &lines("n", 2)).await;
    let (receiver, sink) = Receiver::start().await;
    receiver.hate("{", 503);
    let courier = scene.courier(sink).await;
    let why = || courier.state.borrow().why.clone().unwrap_or_default();
    eventually("the sink's words", async || why().contains("503").then_some(())).await;
    let (start, elsewhere) = (Position::default(), Position { seq: 0, index: 1 });
    let tally = [(key("audit"), Tally { delivered: 1, ..Tally::default() })];
    scene.store.advance("siem", start, elsewhere, &tally, &[]).await.unwrap(); // by another hand
    *receiver.hates.lock().unwrap() = None;
    eventually("the store's words", async || {
        courier.wake.send_modify(|n| *n += 1);
        (why().contains("position") && !why().contains("503")).then_some(())
    })
    .await;
    courier.end().await;
    assert_eq!(receiver.got.lock().unwrap().len(), 2, "once");
}
