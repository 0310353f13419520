// Command app is an app in a box for tests: it tells what it can reach.
package main

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"
)

func main() {
	address := "127.0.0.1:8000"
	switch {
	case len(os.Args) == 3 && os.Args[1] == "serve":
		address = os.Args[2]
	case len(os.Args) == 2 && os.Args[1] == "sleep":
		for {
			time.Sleep(time.Hour)
		}
	case len(os.Args) > 1 && command(os.Args[1], os.Args[2:]):
		return
	case len(os.Args) > 1:
		fmt.Fprintln(os.Stderr, os.Args[1])
		os.Exit(4)
	}
	end := make(chan os.Signal, 1)
	signal.Notify(end, syscall.SIGTERM)
	go func() {
		<-end
		os.Exit(0)
	}()
	http.HandleFunc("/here", func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, "hello ", r.Header.Get("Blindbox-Caller")) })
	http.HandleFunc("/self", func(w http.ResponseWriter, _ *http.Request) {
		network, _ := os.Readlink("/proc/self/ns/net")
		name, _ := os.Hostname()
		fmt.Fprintln(w, network, os.Getuid(), os.Getgid(), name, os.Getenv("GREETING"))
	})
	http.HandleFunc("/wait", func(_ http.ResponseWriter, r *http.Request) {
		fmt.Println("somebody waits")
		<-r.Context().Done()
	})
	http.HandleFunc("/hold", func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprint(w, "held")
		w.(http.Flusher).Flush()
		<-r.Context().Done()
	})
	answers("/dial", dial)
	answers("/lookup", lookup)
	answers("/direct", func(from string) (string, error) { return get(from, nil) })
	answers("/proxied", func(from string) (string, error) { return get(from, http.ProxyFromEnvironment) })
	answers("/fill", fill)
	answers("/open", open)
	http.HandleFunc("/talk/", talk)
	http.HandleFunc("/exit", func(http.ResponseWriter, *http.Request) { os.Exit(3) })
	answers("/processes", processes)
	if err := http.ListenAndServe(address, nil); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// talk tells everybody what it was asked, and breaks if it is asked to.
func talk(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	said := fmt.Sprintln(r.Method, r.RequestURI, string(body), r.Header)
	fmt.Print(said)
	fmt.Fprint(os.Stderr, said)
	os.WriteFile("/tmp/said", []byte(said), 0o600)
	switch {
	case strings.Contains(r.URL.Path, "panic"):
		go panic(said) // ends the program
		select {}
	case strings.Contains(r.URL.Path, "exit"):
		os.Exit(3)
	}
	w.Write(body)
}

// answers serves what came of f with the query.
func answers(path string, f func(string) (string, error)) {
	http.HandleFunc(path, func(w http.ResponseWriter, r *http.Request) {
		what, err := f(r.URL.Query().Get("with"))
		if err != nil {
			fmt.Fprint(w, "blocked: ", err)
			return
		}
		fmt.Fprint(w, "REACHED: ", what)
	})
}

func dial(to string) (string, error) {
	network, address, _ := strings.Cut(to, " ")
	c, err := net.DialTimeout(network, address, 5*time.Second)
	if err != nil {
		return "", err
	}
	defer c.Close()
	_, err = io.WriteString(c, "x")
	return to, err
}

func lookup(name string) (string, error) {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	all, err := net.DefaultResolver.LookupHost(ctx, name)
	return strings.Join(all, " "), err
}

func get(from string, proxy func(*http.Request) (*url.URL, error)) (string, error) {
	c := http.Client{Timeout: 10 * time.Second, Transport: &http.Transport{Proxy: proxy, DisableKeepAlives: true}}
	resp, err := c.Get(from)
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	return fmt.Sprint(resp.StatusCode, " ", string(body)), err
}

// fill writes 2 MiB into a file.
func fill(name string) (string, error) {
	f, err := os.Create(name)
	if err != nil {
		return "", err
	}
	defer f.Close()
	_, err = f.Write(make([]byte, 2<<20))
	return name, err
}

// open opens a file as often as it can, and 100 times at most.
func open(name string) (string, error) {
	for i := range 100 {
		f, err := os.Open(name)
		if err != nil {
			return "", fmt.Errorf("after %d: %w", i, err)
		}
		defer f.Close()
	}
	return name, nil
}

// processes lists what programs there are, and what signals reach them.
func processes(string) (string, error) {
	all, err := os.ReadDir("/proc")
	if err != nil {
		return "", err
	}
	var found []string
	for _, p := range all {
		if line, err := os.ReadFile("/proc/" + p.Name() + "/cmdline"); err == nil && strings.Trim(p.Name(), "0123456789") == "" {
			found = append(found, strings.ReplaceAll(strings.Trim(string(line), "\x00"), "\x00", " "))
		}
	}
	return strings.Join(found, ", "), nil
}
