// A Go net/http server: says hello, or asks the backend whose port is in BACKEND, as threaded.py does.
//
//	goserver PORT
package main

import (
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
)

func main() {
	backend := os.Getenv("BACKEND")
	client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 100}}

	http.HandleFunc("/hello", func(w http.ResponseWriter, _ *http.Request) {
		io.WriteString(w, "hello\n")
	})
	http.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		id := r.URL.Path[strings.LastIndex(r.URL.Path, "/")+1:]
		requestID := r.Header.Get("X-Request-Id")
		w.Header().Set("Content-Type", "application/json")
		if backend == "" {
			fmt.Fprintf(w, `{"id": %q, "request": %q}`, id, requestID)
			return
		}
		inner, err := http.NewRequestWithContext(r.Context(), "GET", "http://127.0.0.1:"+backend+"/items/"+id, nil)
		if err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
		inner.Header.Set("X-Request-Id", requestID)
		answer, err := client.Do(inner)
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadGateway)
			return
		}
		defer answer.Body.Close()
		w.WriteHeader(answer.StatusCode)
		io.Copy(w, answer.Body)
	})
	if err := http.ListenAndServe("127.0.0.1:"+os.Args[1], nil); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}
