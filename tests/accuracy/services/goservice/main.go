// A service on Go's net/http, server and client (tests/accuracy/cases.py says what each shape is).
package main

import (
	"fmt"
	"io"
	"log"
	"net/http"
	"os"
	"strings"
	"sync"
	"time"
)

var (
	backend  = os.Getenv("BACKEND")
	next     = os.Getenv("NEXT")
	keeping  = &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 256}}
	closing  = &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	handover = make(chan func())
)

// ask makes one request; the answer must be its id.
func ask(client *http.Client, port, path, number string) error {
	request, err := http.NewRequest("GET", "http://127.0.0.1:"+port+path, nil)
	if err != nil {
		return err
	}
	request.Header.Set("X-Request-Id", number)
	answer, err := client.Do(request)
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(answer.Body)
	if err == nil && string(body) != number {
		err = fmt.Errorf("%s was answered by %.100q", path, body)
	}
	return err
}

func work(shape, number string) error {
	path := "/work/" + number + "/0"
	switch shape {
	case "one":
		return ask(closing, backend, path, number)
	case "pooled", "inner":
		return ask(keeping, backend, path, number)
	case "sequence":
		for call := 0; call < 3; call++ {
			if err := ask(keeping, backend, fmt.Sprintf("/work/%s/%d", number, call), number); err != nil {
				return err
			}
		}
	case "fan":
		var all sync.WaitGroup
		errors := make([]error, 3)
		for call := 0; call < 3; call++ {
			all.Add(1)
			go func(call int) {
				defer all.Done()
				errors[call] = ask(keeping, backend, fmt.Sprintf("/work/%s/%d", number, call), number)
			}(call)
		}
		all.Wait()
		for _, err := range errors {
			if err != nil {
				return err
			}
		}
	case "sleep":
		time.Sleep(20 * time.Millisecond)
		return ask(keeping, backend, path, number)
	case "worker":
		done := make(chan error)
		handover <- func() { done <- ask(keeping, backend, path, number) }
		return <-done
	case "hops":
		return ask(keeping, next, "/inner/"+number, number)
	}
	return nil
}

func answer(w http.ResponseWriter, r *http.Request) {
	parts := strings.Split(r.URL.Path, "/")
	shape, number := parts[1], parts[2]
	if err := work(shape, number); err != nil {
		log.Print(err)
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Length", fmt.Sprint(len(number)))
	io.WriteString(w, number)
	if shape == "after" {
		w.(http.Flusher).Flush()
		go func() {
			time.Sleep(10 * time.Millisecond)
			if err := ask(keeping, backend, "/work/"+number+"/0", number); err != nil {
				log.Print(err)
			}
		}()
	}
}

func main() {
	for n := 0; n < 64; n++ {
		go func() {
			for job := range handover {
				job()
			}
		}()
	}
	log.Fatal(http.ListenAndServe("127.0.0.1:"+os.Getenv("PORT"), http.HandlerFunc(answer)))
}
