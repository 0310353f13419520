package main

import (
	"net/http"
	"testing"
)

func TestStatusLine(t *testing.T) {
	for want, res := range map[string]*http.Response{
		"HTTP/2 200":             {Proto: "HTTP/2.0", ProtoMajor: 2, StatusCode: 200, Status: "200 OK"},
		"HTTP/2 599":             {Proto: "HTTP/2.0", ProtoMajor: 2, StatusCode: 599, Status: "599"},
		"HTTP/1.1 404 Not Found": {Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1, StatusCode: 404, Status: "404 Not Found"},
		"HTTP/1.0 200 OK":        {Proto: "HTTP/1.0", ProtoMajor: 1, StatusCode: 200, Status: "200 OK"},
	} {
		if got := statusLine(res); got != want {
			t.Errorf("%q, expected %q", got, want)
		}
	}
}
