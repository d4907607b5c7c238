// GET /resolve/NAME: looks a name up by Go's own resolver.
//
//	goresolve PORT
package main

import (
	"fmt"
	"net"
	"net/http"
	"os"
	"strings"
)

func main() {
	resolver := &net.Resolver{PreferGo: true}

	http.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		name := r.URL.Path[strings.LastIndex(r.URL.Path, "/")+1:]
		found, err := resolver.LookupHost(r.Context(), name)
		if err != nil {
			fmt.Fprintf(w, `{"id": %q, "found": %q}`, name, err.Error())
			return
		}
		fmt.Fprintf(w, `{"id": %q, "found": %d}`, name, len(found))
	})
	if err := http.ListenAndServe("127.0.0.1:"+os.Args[1], nil); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}
