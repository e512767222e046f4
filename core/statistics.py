def human_normalised(s, r, h): return (s-r)/(h-r)
