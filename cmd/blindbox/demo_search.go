package main

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"net/http"
	"regexp"

	"github.com/blindbox/blindbox/atls"
	"github.com/blindbox/blindbox/examples/tumour"
)

// maxAnswer bounds the model's answer in bytes.
const maxAnswer = 1 << 20

func readAnswer(res *http.Response) ([]byte, error) {
	defer res.Body.Close()
	body, err := io.ReadAll(io.LimitReader(res.Body, maxAnswer))
	if err != nil {
		return nil, err
	}
	if res.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("status %d: %.200s", res.StatusCode, body)
	}
	return body, nil
}

// readPrediction reads the model's answer: two probabilities and the class.
func readPrediction(answer []byte) (demoAnswer, error) {
	var doc struct {
		Outputs []struct {
			Name string    `json:"name"`
			Data []float64 `json:"data"`
		} `json:"outputs"`
	}
	if err := json.Unmarshal(answer, &doc); err != nil {
		return demoAnswer{}, fmt.Errorf("the answer is not JSON: %w", err)
	}
	out := map[string][]float64{}
	for _, o := range doc.Outputs {
		out[o.Name] = o.Data
	}
	p, class := out["probabilities"], out["label"]
	names := tumour.Labels()
	if len(p) != len(names) || len(class) != 1 || class[0] < 0 || int(class[0]) >= len(names) {
		return demoAnswer{}, fmt.Errorf("the answer has %d probabilities and %d classes, expected %d and 1", len(p), len(class), len(names))
	}
	return demoAnswer{Label: names[int(class[0])], Probability: p[int(class[0])]}, nil
}

var number = regexp.MustCompile(`-?[0-9]+\.[0-9]+(e-?[0-9]+)?`)

// fragments returns what must not be found on the wire: every two neighbouring
// values of the record, as text and as the floating-point numbers they could
// be sent as; every long number of the answer; words of both; the key. Single
// short values are left out, since "18.8" turns up in any megabyte of noise.
func fragments(record, answer []byte, key string) [][]byte {
	values := number.FindAll(record, -1)
	out := [][]byte{[]byte(key), record, answer, []byte("record-167"), []byte("features"), []byte("probabilities"), []byte("Authorization"), []byte("/v2/models/tumour")}
	for i := range len(values) - 1 {
		pair := record[bytes.Index(record, values[i]):]
		end := len(values[i]) + bytes.Index(pair[len(values[i]):], values[i+1]) + len(values[i+1])
		out = append(out, pair[:end])
		out = append(out, binaryPairs(values[i], values[i+1])...)
	}
	for _, n := range number.FindAll(answer, -1) {
		if len(n) >= 7 {
			out = append(out, n)
		}
	}
	return out
}

// binaryPairs returns two numbers side by side as float32 and float64, in both
// byte orders.
func binaryPairs(a, b []byte) [][]byte {
	var x, y float64
	if json.Unmarshal(a, &x) != nil || json.Unmarshal(b, &y) != nil {
		return nil
	}
	var out [][]byte
	for _, order := range []binary.AppendByteOrder{binary.LittleEndian, binary.BigEndian} {
		narrow := order.AppendUint32(order.AppendUint32(nil, math.Float32bits(float32(x))), math.Float32bits(float32(y)))
		wide := order.AppendUint64(order.AppendUint64(nil, math.Float64bits(x)), math.Float64bits(y))
		out = append(out, narrow, wide)
	}
	return out
}

// foundIn returns the fragments that occur in any of the streams.
func foundIn(fragments [][]byte, streams ...[]byte) [][]byte {
	var out [][]byte
	for _, f := range fragments {
		for _, s := range streams {
			if bytes.Contains(s, f) {
				out = append(out, f)
				break
			}
		}
	}
	return out
}

// onlyQuestions reports whether, on every connection, what the client sent is
// one frame of the gate of type 1, its question, and not a byte more.
func onlyQuestions(h *host) bool {
	for _, sent := range h.streams(upward) {
		header := len(atls.GateMagic) + 5
		if len(sent) < header || string(sent[:len(atls.GateMagic)]) != atls.GateMagic || sent[len(atls.GateMagic)] != 1 {
			return false
		}
		if int(binary.BigEndian.Uint32(sent[header-4:])) != len(sent)-header {
			return false
		}
	}
	return len(h.streams(upward)) > 0
}
