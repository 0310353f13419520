// Command search finds the lines of a file that mean what was asked, whatever their words.
// A model in a box makes the embeddings: its operator reads neither lines nor question.
//
//	search DOCUMENTS QUESTION
//
// The box is in BLINDBOX_BOX, the caller's key in BLINDBOX_API_KEY, and trust.yaml here.
package main

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"log"
	"net/url"
	"os"
	"slices"

	"github.com/blindbox/blindbox/appraise"
	"github.com/blindbox/blindbox/client"
	"github.com/blindbox/blindbox/client/models"
)

func main() {
	log.SetFlags(0)
	if len(os.Args) != 3 {
		log.Fatal("usage: search DOCUMENTS QUESTION")
	}
	text, err := os.ReadFile(os.Args[1])
	if err != nil {
		log.Fatal(err)
	}
	box, err := open()
	if err != nil {
		log.Fatal(err)
	}
	if err := search(box, bytes.Split(bytes.TrimSpace(text), []byte("\n")), os.Args[2]); err != nil {
		log.Fatal(err)
	}
}

// open is a client that verifies the box before it sends anything.
func open() (*models.Client, error) {
	file, err := os.ReadFile("trust.yaml")
	if err != nil {
		return nil, err
	}
	trust, err := appraise.ParseTrust(file)
	if err != nil {
		return nil, err
	}
	verified, err := client.New(trust)
	if err != nil {
		return nil, err
	}
	base, err := url.Parse(os.Getenv("BLINDBOX_BOX"))
	return &models.Client{Base: base, HTTP: verified, Key: os.Getenv("BLINDBOX_API_KEY")}, err
}

func search(box *models.Client, lines [][]byte, question string) error {
	all, err := embed(box, append(lines, []byte(question)))
	if err != nil {
		return err
	}
	asked := all[len(lines)]
	order := make([]int, len(lines))
	for i := range order {
		order[i] = i
	}
	slices.SortFunc(order, func(a, b int) int { return cmp.Compare(dot(all[b], asked), dot(all[a], asked)) })
	for _, i := range order[:min(3, len(order))] {
		fmt.Printf("%.2f  %s\n", dot(all[i], asked), lines[i])
	}
	return nil
}

// embed returns a vector of length one for each text.
func embed(box *models.Client, texts [][]byte) ([][]float32, error) {
	out, err := box.Ask(context.Background(), "minilm", "", "text", texts, "embedding")
	if err != nil {
		return nil, err
	}
	var flat []float32
	if err := json.Unmarshal(out[0].Data, &flat); err != nil {
		return nil, err
	}
	return slices.Collect(slices.Chunk(flat, len(flat)/len(texts))), nil
}

// dot is the cosine of the angle between two vectors of length one.
func dot(a, b []float32) (sum float32) {
	for i := range a {
		sum += a[i] * b[i]
	}
	return sum
}
