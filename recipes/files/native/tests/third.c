/* A library that takes a function of the program for another one. */
double add(double a);

double third(double a)
{
    return add(a);
}
