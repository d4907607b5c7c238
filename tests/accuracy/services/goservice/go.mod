module goservice

go 1.24
