package model_test

import (
	"bytes"
	"fmt"
	"net/http"
	"net/http/httptest"

	"github.com/blindbox/blindbox/examples/tumour"
	"github.com/blindbox/blindbox/model"
)

// A server answers any client of the Open Inference Protocol.
func Example() {
	demo, err := model.Load("tumour", tumour.Model())
	if err != nil {
		fmt.Println(err)
		return
	}
	h, err := model.NewServer([]model.Loaded{demo})
	if err != nil {
		fmt.Println(err)
		return
	}
	srv := httptest.NewServer(h)
	defer srv.Close()
	record, label := tumour.Sample()
	resp, err := http.Post(srv.URL+"/v2/models/tumour/infer", "application/json", bytes.NewReader(record))
	if err != nil {
		fmt.Println(err)
		return
	}
	defer resp.Body.Close()
	fmt.Println(resp.Status, resp.Header.Get("Content-Type"), "- the record is", label)
	// Output: 200 OK application/json - the record is malignant
}
