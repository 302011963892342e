//! Events on their way.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use poem::listener::TcpAcceptor;
use poem::web::{Data, Json};
use poem::{EndpointExt as _, Route, Server, handler, post};
use serde_json::Value;
use simulator::Order;

use crate::Shop;

type Taken = Arc<Mutex<Vec<Value>>>;

#[handler]
fn take(Data(taken): Data<&Taken>, Json(event): Json<Value>) {
    taken.lock().expect("a lock").push(event);
}

/// A shop whose events are taken.
async fn open() -> (Shop, Taken) {
    let taken = Taken::default();
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    listener.set_nonblocking(true).expect("a socket");
    let url = format!("http://{}/", listener.local_addr().expect("an address"));
    let app = Route::new().at("/", post(take)).data(taken.clone());
    tokio::spawn(Server::new_with_acceptor(TcpAcceptor::from_std(listener).expect("a listener")).run(app));
    (Shop::open_with(Some(url), None).await, taken)
}

async fn settle(shop: &Shop) {
    for _ in 0..1_000 {
        if shop.world().deliveries_pending() == 0 {
            return;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    panic!("events on their way without end");
}

fn ids(events: &[Value]) -> Vec<String> {
    events.iter().map(crate::id).collect()
}

#[tokio::test]
async fn held_events_wait_and_go_out_in_the_order_that_is_asked_for() {
    let (shop, taken) = open().await;
    let mut orders = Vec::new();
    for order in [Order::InOrder, Order::Shuffled(7), Order::Shuffled(7)] {
        shop.world().reset();
        shop.world().hold_webhooks(true);
        for _ in 0..20 {
            shop.customer().await;
        }
        let made = ids(&shop.world().events());
        assert_eq!((shop.world().deliveries_pending(), shop.world().webhooks_held()), (0, 20));
        taken.lock().unwrap().clear();
        shop.world().release_webhooks(order);
        settle(&shop).await;
        let came = ids(&taken.lock().unwrap());
        let places: Vec<usize> = came.iter().map(|id| made.iter().position(|made| made == id).unwrap()).collect();
        orders.push(places);
    }
    assert_eq!(orders[0], (0..20).collect::<Vec<_>>());
    assert_ne!(orders[1], orders[0]);
    assert_eq!(orders[1], orders[2], "the same seed, the same order");
}

#[tokio::test]
async fn twins_are_one_change_under_two_ids() {
    let (shop, taken) = open().await;
    shop.world().add_fault("customer.created", "webhook:twin", 1).unwrap();
    shop.world().set_webhook_api_version("2026-08-26.dahlia");
    shop.customer().await;
    settle(&shop).await;
    let taken = taken.lock().unwrap().clone();
    assert_eq!(taken.len(), 2);
    assert_ne!(taken[0]["id"], taken[1]["id"]);
    assert_eq!((&taken[0]["data"], &taken[0]["api_version"]), (&taken[1]["data"], &Value::from("2026-08-26.dahlia")));
}

#[tokio::test]
async fn what_was_lost_is_found_in_the_list_of_events() {
    let (shop, taken) = open().await;
    shop.customer().await;
    shop.world().add_fault("customer.created", "webhook:lose", 1).unwrap();
    let lost = shop.customer().await;
    settle(&shop).await;
    assert_eq!(taken.lock().unwrap().len(), 1);
    let (_, list) = shop.get("/events?delivery_success=false&types[]=customer.created&types[]=charge.*").await;
    assert_eq!(list["data"].as_array().unwrap().len(), 1);
    assert_eq!(list["data"][0]["data"]["object"]["id"], lost.as_str());
    let (_, event) = shop.get(&format!("/events/{}", crate::id(&list["data"][0]))).await;
    assert_eq!(event["pending_webhooks"], 1);
}
