// The shop's second service: what is in stock. Looking up an item takes 60 ms, several at once take no longer.
//
//	GET /stock/ID         one item
//	GET /stock?items=1,2  several
package main

import (
	"fmt"
	"log"
	"net/http"
	"strings"
	"time"
)

const lookup = 60 * time.Millisecond

func stock(w http.ResponseWriter, r *http.Request) {
	time.Sleep(lookup)
	items := strings.Split(r.URL.Query().Get("items"), ",")
	if id, one := strings.CutPrefix(r.URL.Path, "/stock/"); one {
		items = []string{id}
	}
	w.Header().Set("Content-Type", "application/json")
	fmt.Fprintf(w, `{"items": %q, "in_stock": 3}`, strings.Join(items, ","))
}

func main() {
	http.HandleFunc("/stock", stock)
	http.HandleFunc("/stock/", stock)
	log.Fatal(http.ListenAndServe("127.0.0.1:8002", nil))
}
