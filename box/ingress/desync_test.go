package ingress

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
)

// TestAnswerOfAnother: an app that counts characters and not bytes says more
// than its Content-Length, and what it says beyond is what a caller wrote. Were
// another caller's request to follow on that connection, which happens when it
// waits for one, net/http would take the rest for its answer.
func TestAnswerOfAnother(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for c, err := l.Accept(); err == nil; c, err = l.Accept() {
			go func() {
				defer c.Close()
				for r := bufio.NewReader(c); ; {
					q, err := http.ReadRequest(r)
					if err != nil {
						return
					}
					answer := "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\ngood"
					if q.URL.Path == "/hostile" {
						answer += "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil"
					}
					io.WriteString(c, answer)
				}
			}()
		}
	}()
	_, s := frontOf(t, strings.Replace(open, "concurrent: 2", "concurrent: 100", 1), "tcp", l.Addr().String())
	var callers sync.WaitGroup
	for i := range 16 {
		callers.Go(func() {
			path := []string{"/honest", "/hostile"}[i%2]
			for range 100 {
				resp, err := s.Client().Do(request(t, "GET", s.URL+path, nil))
				if err != nil {
					t.Error(err)
					return
				}
				text, err := io.ReadAll(resp.Body)
				resp.Body.Close()
				if got := fmt.Sprint(resp.StatusCode, " ", string(text), " ", err); got != "200 good <nil>" {
					t.Errorf("%s: %s", path, got)
					return
				}
			}
		})
	}
	callers.Wait()
}
